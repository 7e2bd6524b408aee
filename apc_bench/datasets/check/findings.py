"""From what was seen of a dataset's files to findings: what stops a sweep or makes its figures
wrong, and what a user should know.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apc_bench.datasets.check.files import Found, as_read, walk
from apc_bench.datasets.check.inspect import Mask, Photo, Seen, look
from apc_bench.datasets.check.similar import alike
from apc_bench.datasets.images import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import GOOD
from apc_bench.datasets.tree import owner_of
from apc_bench.errors import DataError

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: 'error' stops a sweep or makes its figures wrong; 'warning' changes what they mean;
    'note' is good to know. `files`: path -> more about it, empty where there is nothing more to
    say.
    """

    level: str
    kind: str
    text: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """A category: images by training or test and defect type, how often each size (height, width)
    and mode occurs, and what was found. `groups`: photos that look alike, a list a group.
    """

    name: str
    training: dict[str, int]
    test: dict[str, int]
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    findings: list[Finding]
    groups: list[list[str]]


def examine(root: Path, geometry: Geometry, reserve: int) -> tuple[list[Health], list[Finding]]:
    """The health of each category, and findings on the dataset as a whole. Raises DataError where
    there is no folder to look at.
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {root}")
    whole = []
    try:
        categories, beside = walk(root)
        try:
            read = read_dataset(root)
            if not categories:  # of no layout of ours: a reader of another package knows it
                categories, beside = [as_read(category) for category in read.categories], {}
        except DataError as error:
            whole = [Finding(ERROR, "layout", str(error))]
        judged = [_examine(found, geometry, reserve) for found in categories]
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None
    return (
        judged,
        ([Finding(NOTE, "passed over", "not read by any sweep", beside)] if beside else []) + whole,
    )


def _examine(found: Found, geometry: Geometry, reserve: int) -> Health:
    masks = [mask for names in found.masks.values() for mask in names]
    seen = look(found.folder, list(found.images), masks, geometry)
    photos = {name: each for name in found.images if isinstance(each := seen[name], Photo)}
    names, pairs = list(photos), _paired(found)
    groups = [
        [names[index] for index in group]
        for group in alike([photo.hash for photo in photos.values()])
    ]
    findings = [
        *_unreadable(seen),
        *_partners(found, pairs),
        *_masks(found, seen, pairs),
        *_twins(found, photos),
        *_lookalikes(found, photos, groups),
        *_oddities(found, photos),
        *_reserve(found, reserve),
    ]
    sides: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for training, kind in found.images.values():
        sides[not training][kind] += 1
    sizes, modes = (
        Counter(photo.size for photo in photos.values()),
        Counter(photo.mode for photo in photos.values()),
    )
    return Health(
        found.name,
        dict(sides[0]),
        dict(sides[1]),
        dict(sizes.most_common()),
        dict(modes.most_common()),
        findings,
        groups,
    )


def _unreadable(seen: Mapping[str, Seen]) -> Iterator[Finding]:
    bad = {name: each for name, each in seen.items() if isinstance(each, str)}
    if bad:
        yield Finding(
            ERROR,
            "unreadable",
            "cannot be read; a sweep leaves them out with --skip-unreadable",
            bad,
        )


@dataclass(slots=True)
class Pairs:
    """Which mask is whose. `owner`: mask -> image; `strays`, `several`: mask -> why it has none, or
    more than one; `bare`: anomalous images without one.
    """

    owner: dict[str, str] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)
    several: dict[str, str] = field(default_factory=dict)
    bare: dict[str, str] = field(default_factory=dict)


def _paired(found: Found) -> Pairs:
    pairs = Pairs({mask: image for image, mask in found.pairs.items()})
    by_stem: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, (_, kind) in found.images.items():
        by_stem[kind][Path(name).stem].append(name)
    masked = dict(found.pairs)
    for kind, masks in found.masks.items():
        for mask in masks:
            if mask in pairs.owner:
                continue
            owners = owner_of(mask, by_stem[kind])
            if not owners:
                pairs.strays[mask] = (
                    "no image of this name" if by_stem[kind] else f"no image of type {kind}"
                )
            elif len(owners) > 1:
                pairs.several[mask] = f"belongs to {' and '.join(owners)}"
            elif owners[0] in masked:
                pairs.several[mask] = f"{owners[0]} has {masked[owners[0]]} already"
            else:
                masked[owners[0]], pairs.owner[mask] = mask, owners[0]
    pairs.bare = {
        name: "" for name, (_, kind) in found.images.items() if kind != GOOD and name not in masked
    }
    return pairs


def _partners(found: Found, pairs: Pairs) -> Iterator[Finding]:
    """Masks and images that have no partner, or several."""
    if pairs.strays:
        text = (
            "masks that belong to no image; a mask is called NAME_mask.png or NAME.png after its"
            " image"
        )
        yield Finding(ERROR, "stray mask", text, pairs.strays)
    if pairs.several:
        yield Finding(ERROR, "ambiguous mask", "masks that cannot be told apart", pairs.several)
    if pairs.bare and found.masks:
        yield Finding(
            WARNING,
            "no mask",
            "anomalous images without a mask count at the image level only",
            pairs.bare,
        )
    elif pairs.bare:
        yield Finding(
            NOTE,
            "no masks",
            f"none of the {len(pairs.bare)} anomalous images has a mask: image-level metrics only",
        )


def _masks(found: Found, seen: Mapping[str, Seen], pairs: Pairs) -> Iterator[Finding]:
    """Masks that do not fit their image, are grey, or empty before or after the resize."""
    kinds: dict[str, dict[str, str]] = {
        name: {} for name in ("size", "grey", "empty", "emptied", "good")
    }
    for kind, names in found.masks.items():
        for name in names:
            mask = seen[name]
            if not isinstance(mask, Mask):
                continue
            image = seen[pairs.owner[name]] if name in pairs.owner else None
            if isinstance(image, Photo) and image.size != mask.size:
                kinds["size"][name] = f"{_size(mask.size)}, its image is {_size(image.size)}"
            if mask.levels > 2:
                kinds["grey"][name] = f"{mask.levels} grey levels"
            if not mask.anomalous:
                kinds["empty"][name] = ""
            elif not mask.left:
                kinds["emptied"][name] = f"{mask.anomalous} anomalous pixels"
            if kind == GOOD and mask.anomalous:
                kinds["good"][name] = ""
    texts = {
        "size": (ERROR, "mask size", "masks of another size than their image"),
        "grey": (
            NOTE,
            "grey mask",
            (
                "masks that are not binary: 128 or more of 255 is taken as anomalous, or any id"
                " above 0 where all are small"
            ),
        ),
        "empty": (
            WARNING,
            "empty mask",
            "masks without an anomalous pixel: their images count at the image level only",
        ),
        "emptied": (
            WARNING,
            "emptied mask",
            "masks that the resize would empty: their images count at the image level only",
        ),
        "good": (
            WARNING,
            "mask of a good image",
            "masks of normal images hold anomalous pixels; a sweep does not read them",
        ),
    }
    for name, (level, title, text) in texts.items():
        if kinds[name]:
            yield Finding(level, title, text, kinds[name])


def _twins(found: Found, photos: dict[str, Photo]) -> Iterator[Finding]:
    """Files of one content: between train and test they are a leak."""
    same: dict[str, list[str]] = defaultdict(list)
    for name, photo in photos.items():
        same[photo.sha256].append(name)
    leaks: dict[str, str] = {}
    copies: dict[str, str] = {}
    for names in same.values():
        if len(names) < 2:
            continue
        sides = {found.images[name] for name in names}
        leak = (
            len({training for training, _ in sides}) > 1
            or len({kind == GOOD for _, kind in sides}) > 1
        )
        (leaks if leak else copies)[names[0]] = f"same content as {', '.join(names[1:])}"
    if leaks:
        yield Finding(
            ERROR, "leak", "the same content in train and test, or as good and as anomalous", leaks
        )
    if copies:
        yield Finding(
            WARNING,
            "copies",
            "the same content more than once: name the copies as one group in groups.csv, or remove"
            " them",
            copies,
        )


def _lookalikes(
    found: Found, photos: dict[str, Photo], groups: list[list[str]]
) -> Iterator[Finding]:
    alike = {group[0]: f"like {', '.join(group[1:])}" for group in groups}
    across = {
        first: text
        for (first, text), group in zip(alike.items(), groups, strict=True)
        if len({found.images[name][0] for name in group}) > 1
        and len({photos[name].sha256 for name in group}) > 1
    }
    if across and not found.plain:
        yield Finding(
            WARNING,
            "alike across",
            "photos in train and test look alike: do they show one part?",
            across,
        )
    if alike and not (found.folder / "groups.csv").is_file():
        images = sum(len(group) for group in groups)
        text = (
            f"{images} photos in {len(groups)} groups look alike; --groups DIR writes them as a"
            " groups.csv: look it through before use"
        )
        yield Finding(WARNING, "alike", text, alike)


def _oddities(found: Found, photos: dict[str, Photo]) -> Iterator[Finding]:
    turned = {name: "" for name, photo in photos.items() if photo.turned}
    outside = {name: f"-> {photo.outside}" for name, photo in photos.items() if photo.outside}
    if turned:
        yield Finding(
            WARNING,
            "EXIF",
            "EXIF data asks to turn these; it is not applied, so that image and mask agree",
            turned,
        )
    if outside:
        yield Finding(WARNING, "link", "links that lead out of the category's folder", outside)
    if found.passed_over:
        yield Finding(NOTE, "passed over", "not read by any sweep", found.passed_over)


def _reserve(found: Found, reserve: int) -> Iterator[Finding]:
    counts = Counter(
        kind for training, kind in found.images.values() if kind != GOOD and not training
    )
    pooled = Counter(kind for training, kind in found.images.values() if kind != GOOD and training)
    pool, total = pooled or counts, sum((pooled or counts).values())
    if total < reserve + (0 if pooled else 1):
        text = (
            f"{total} anomalous images are too few for a reserve of {reserve}: lower --reserve, or"
            " use --protocol crossfit"
        )
        yield Finding(WARNING, "few anomalous", text)
    elif small := {
        kind: f"{number} images"
        for kind, number in sorted(pool.items())
        if number < reserve // len(pool)
    }:
        text = (
            "defect types with fewer images than their share of the reserve"
            f" ({reserve // len(pool)}): the rest is drawn from others"
        )
        yield Finding(NOTE, "small type", text, small)


def _size(size: Sequence[int]) -> str:
    return f"{size[1]} × {size[0]}"
