"""From a folder to a dataset: the MVTec layout, a plain folder of good and bad photos, groups,
names. Reads names only, never pixels.

ROOT/CATEGORY/train/good/*          normal training images ROOT/CATEGORY/test/good/*
normal test images ROOT/CATEGORY/test/TYPE/*           anomalous images of a defect type
ROOT/CATEGORY/train/TYPE/*          optional: anomalous images to train on (VisA's two-class
splits); then shots are drawn from them alone ROOT/CATEGORY/ground_truth/TYPE/    masks,
NAME_mask.png or NAME.png, paired by name ROOT/CATEGORY/groups.csv            optional: image, group
and optionally part (docs/method.md section 5, "Groups")

PART/good/*, PART/bad/* or PART/bad/TYPE/*    a plain folder: photos of one part, of any names
PART/masks/*, PART/masks/TYPE/*               optional masks, paired as above; PART/groups.csv as
above
"""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from apc_bench import plugins
from apc_bench.errors import DataError, listed, unknown
from apc_bench.settings.sweep import NAME

Owner = TypeVar("Owner")
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
ENDINGS = " ".join(sorted(ending.removeprefix(".") for ending in IMAGE_ENDINGS))
GOOD, BAD = "good", "bad"
PLAIN_TEST_SHARE = 0.3
"""Of a plain folder's normal photos, those that are tested instead of learned from [ours]."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a category. Paths are relative to the category's folder, with forward slashes.

    `training`: a normal image to learn from, or an anomalous one of the pool that a dataset gives
    draws of its own.
    """

    image: str
    mask: str | None
    defect_type: str
    training: bool
    group: str
    part: str | None = None

    @property
    def anomalous(self) -> bool:
        return self.defect_type != GOOD


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of part: its folder and its samples, sorted by path."""

    name: str
    folder: Path
    samples: tuple[Sample, ...]

    @property
    def masked(self) -> bool:
        """Whether the category has masks at all; without any, only image-level metrics exist."""
        return any(sample.mask for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of categories."""

    name: str
    root: Path
    categories: tuple[Category, ...]


def read_dataset(
    root: Path, *, name: str | None = None, categories: Sequence[str] | None = None
) -> Dataset:
    """Reads a folder in MVTec layout, or of plain ones: `good/` and `bad/` (or `bad/<type>/`); or
    one such plain folder, as a category.

    `categories`: only these. Raises DataError when there is no such folder or one that cannot be
    listed, no category in it, an unknown category, a category without `train/good`, `test/good` or
    images there, masks that belong to no image or twice to one, a groups.csv that does not fit, or
    a name that cannot become a folder name.
    """
    try:
        return _read(root, name, categories)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None


def _read(root: Path, name: str | None, categories: Sequence[str] | None) -> Dataset:
    if not root.is_dir():
        raise DataError(
            f"no such folder: {root} (--data takes a folder in MVTec layout: CATEGORY/train/good,"
            " CATEGORY/test/TYPE)"
        )
    if is_plain(root):
        return _read(
            root.resolve().parent, name or dataset_name(root), categories or [root.resolve().name]
        )
    found = sorted(
        entry.name
        for entry in root.iterdir()
        if (entry / "train").is_dir() or (entry / "test").is_dir() or is_plain(entry)
    )
    foreign = None if found else _by_plugins(root, name or dataset_name(root))
    if foreign is not None:
        found = [category.name for category in foreign.categories]
    if not found:
        hint = (
            "; this folder is a category itself: give its parent"
            if (root / "train").is_dir()
            else ""
        )
        raise DataError(
            f"no category in {root}: none of its folders has train/good and test, or good and"
            f" bad{hint}"
        )
    for wanted in categories or ():
        if wanted not in found:
            raise DataError(f"{root}: {unknown('category', wanted, found)}")
    chosen = [category for category in found if not categories or category in categories]
    if foreign is not None:
        return replace(
            foreign,
            categories=tuple(
                category for category in foreign.categories if category.name in chosen
            ),
        )
    return Dataset(
        name or dataset_name(root),
        root,
        tuple(_read_category(root / category) for category in chosen),
    )


def _by_plugins(root: Path, name: str) -> Dataset | None:
    """What a reader of another package makes of a folder that is of none of our layouts:
    `reader(root, name)` gives a Dataset, or None where it does not know the folder. Each category's
    files must lie in `root`/category. Raises DataError for what does not fit, or is claimed twice.
    """
    claims: dict[str, Dataset] = {}
    for reader in (
        plugin for found in plugins.offered(plugins.READERS).values() for plugin in found
    ):
        dataset = _asked(reader, root, name)
        if dataset is not None:
            _check_read(dataset, root, str(reader))
            claims[str(reader)] = dataset
    if len(claims) > 1:
        raise DataError(f"{root} is claimed by {' and by '.join(claims)}: uninstall one of them")
    return next(iter(claims.values()), None)


def _asked(reader: plugins.Plugin, root: Path, name: str) -> Dataset | None:
    read = reader.load()
    try:
        dataset: Dataset | None = read(root, name)
    except DataError as error:
        raise DataError(f"{reader}: {error}") from None
    except Exception as error:  # code that is not ours
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{reader} cannot read {root}: {type(error).__name__}: {reason}; mend the folder, or"
            " uninstall it"
        ) from error
    return dataset


def _check_read(dataset: Dataset, root: Path, reader: str) -> None:
    if not isinstance(dataset, Dataset) or not dataset.categories:
        raise DataError(f"{reader} gave no Dataset with categories for {root}")
    for category in dataset.categories:
        _check_name("category", category.name, root)
        if category.folder.resolve() != (root / category.name).resolve():
            raise DataError(
                f"{reader}: category '{category.name}' must lie in {root / category.name}, got"
                f" {category.folder}"
            )
        images = [sample.image for sample in category.samples]
        for path in [*images, *(sample.mask for sample in category.samples if sample.mask)]:
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise DataError(
                    f"{reader}: {path!r} of category '{category.name}' leads out of its folder"
                )
        if len(set(images)) < len(images):
            raise DataError(f"{reader}: category '{category.name}' has an image twice")
        for sample in category.samples:
            _check_name("defect type", sample.defect_type, category.folder)


def is_plain(root: Path) -> bool:
    """Whether the folder holds normal photos in `good/` and defective ones in `bad/`."""
    return (root / GOOD).is_dir() and (root / BAD).is_dir()


def root_of(folder: Path) -> Path:
    """Where the folders of a dataset's categories lie: the folder itself, or what holds a plain
    one.
    """
    return folder.parent if is_plain(folder) else folder


def _read_plain(folder: Path) -> Category:
    """One category: PLAIN_TEST_SHARE of the normal groups, chosen by a hash of their names and so
    the same for every seed, are tested.
    """
    _check_name("folder", folder.name, folder.parent)
    types = [kind for kind in _folders(folder / BAD) if _image_files(folder / BAD / kind)]
    places = {BAD: f"{BAD}/"} | {kind: f"{BAD}/{kind}/" for kind in types}
    samples = [
        Sample(f"{GOOD}/{name}", None, GOOD, True, f"{GOOD}/{name}")
        for name in _image_files(folder / GOOD)
    ]
    if len(samples) < 2:
        raise DataError(
            f"{folder / GOOD} holds {len(samples)} image(s) ({ENDINGS}): put normal photos there,"
            " some to learn from and some to test on"
        )
    if GOOD in types:
        raise DataError(
            f"{folder / BAD / GOOD}: photos of defects cannot be of the type '{GOOD}'; rename the"
            " folder"
        )
    for kind in types:
        _check_name("defect type", kind, folder / BAD)
    for kind, place in places.items():
        images = [place + name for name in _image_files(folder / place)]
        masks = _paired(folder, f"masks/{'' if kind == BAD else kind + '/'}", images)
        samples += [Sample(image, masks.get(image), kind, False, image) for image in images]
    if not any(sample.anomalous for sample in samples):
        raise DataError(
            f"{folder / BAD} holds no image ({ENDINGS}): put photos of defects there, or in"
            f" {BAD}/<defect type>"
        )
    samples = _with_groups(folder, samples)
    groups = sorted(
        {sample.group for sample in samples if sample.training},
        key=lambda group: sha256(f"plain\x1f{group}".encode()).digest(),
    )
    tested = set(groups[: max(1, round(PLAIN_TEST_SHARE * len(groups)))])
    if len(groups) < 2:
        raise DataError(
            f"{folder}: all photos in {GOOD} are of one group, so none could be tested; see"
            " groups.csv"
        )
    samples = [
        replace(sample, training=sample.training and sample.group not in tested)
        for sample in samples
    ]
    return Category(folder.name, folder, tuple(sorted(samples, key=lambda sample: sample.image)))


def of_part(dataset: Dataset, part: str) -> Dataset:
    """The dataset with all its training images, but of the test images only those that groups.csv
    puts in `part`.

    Raises DataError where a category has no test image there.
    """
    categories = []
    for category in dataset.categories:
        kept = tuple(
            sample for sample in category.samples if sample.training or sample.part == part
        )
        if all(sample.training for sample in kept):
            known = sorted(
                {sample.part for sample in category.samples if sample.part and not sample.training}
            )
            there = (
                f"its groups.csv has {listed(known)}"
                if known
                else "it has no groups.csv with a column part"
            )
            raise DataError(
                f"category '{category.name}': no test image is in part '{part}'; {there}"
            )
        categories.append(replace(category, samples=kept))
    return replace(dataset, categories=tuple(categories))


def dataset_name(root: Path) -> str:
    """The folder's name as a dataset name: characters that a name may not have become '-'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip(".-_")[:64] or "dataset"


def _read_category(folder: Path) -> Category:
    if is_plain(folder) and not (folder / "train").is_dir():
        return _read_plain(folder)
    _check_name("category", folder.name, folder)
    normal = _images(folder, "train", GOOD)
    if not normal:
        raise DataError(
            f"category '{folder.name}' has no images ({ENDINGS}) in {folder / 'train' / GOOD}:"
            " PatchCore learns from normal images there"
        )
    test = folder / "test"
    types = _folders(test)
    images = {kind: _images(folder, "test", kind) for kind in types}
    images = {kind: names for kind, names in images.items() if names}
    if GOOD not in images:
        raise DataError(
            f"category '{folder.name}' has no images ({ENDINGS}) in {test / GOOD}: without normal"
            " test images no metric is defined"
        )
    if len(images) == 1:
        raise DataError(
            f"category '{folder.name}' has no anomalous image: put them in {test}/<defect type>"
        )
    pool = {
        kind: _images(folder, "train", kind) for kind in _folders(folder / "train") if kind != GOOD
    }
    samples = [Sample(image, None, GOOD, True, image) for image in normal]
    for kind in sorted({*images, *(kind for kind, names in pool.items() if names)}):
        _check_name("defect type", kind, test)
        tested, taught = images.get(kind, []), pool.get(kind, [])
        masks = _masks(folder, kind, tested + taught) if kind != GOOD else {}
        samples += [Sample(image, masks.get(image), kind, False, image) for image in tested]
        samples += [Sample(image, masks.get(image), kind, True, image) for image in taught]
    for kind in sorted(set(_folders(folder / "ground_truth")) - {*images, *pool, GOOD}):
        _masks(folder, kind, [])
    samples = _with_groups(folder, samples)
    return Category(folder.name, folder, tuple(sorted(samples, key=lambda sample: sample.image)))


def _check_name(kind: str, name: str, where: Path) -> None:
    if not re.fullmatch(NAME, name):
        raise DataError(
            f"{kind} {name!r} in {where} cannot be used: letters, digits, '.', '_' and '-' only, at"
            " most 64; rename the folder"
        )


def _folders(place: Path) -> list[str]:
    return (
        sorted(
            entry.name
            for entry in place.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if place.is_dir()
        else []
    )


def _image_files(place: Path) -> list[str]:
    """Names of the image files in a folder, sorted; anything else and hidden files are passed
    over.
    """
    names = [
        entry.name
        for entry in place.iterdir()
        if entry.suffix.lower() in IMAGE_ENDINGS and not entry.name.startswith(".")
    ]
    for name in names:
        if any(
            unicodedata.category(sign) in ("Cc", "Cs") for sign in name
        ):  # Cs: how Python shows bytes that are no UTF-8
            raise DataError(
                f"file name {name!r} in {place} holds control characters or is not valid UTF-8;"
                " rename it"
            )
    return sorted(names)


def _images(folder: Path, part: str, kind: str) -> list[str]:
    place = folder / part / kind
    return [f"{part}/{kind}/{name}" for name in _image_files(place)] if place.is_dir() else []


def _masks(folder: Path, kind: str, images: list[str]) -> dict[str, str]:
    """Image path -> mask path of a defect type in MVTec layout."""
    return _paired(folder, f"ground_truth/{kind}/", images)


def owner_of(mask: str, by_stem: Mapping[str, Owner]) -> Owner | None:
    """What `by_stem` has for a mask's image: NAME of NAME.png or of NAME_mask.png."""
    stem = Path(mask).stem
    return by_stem.get(stem) or by_stem.get(stem.removesuffix("_mask"))


def _paired(folder: Path, at: str, images: list[str]) -> dict[str, str]:
    """Image path -> mask path, paired by name. Two images of one stem, or a mask of no image, are
    errors: a shifted pairing is a wrong number.
    """
    place = folder / at
    if not place.is_dir():
        return {}
    by_stem: dict[str, str] = {}
    for image in images:
        stem = Path(image).stem
        if stem in by_stem:
            raise DataError(
                f"{folder}: {by_stem[stem]} and {image} share one name, so their masks cannot be"
                " told apart; rename one"
            )
        by_stem[stem] = image
    pairs: dict[str, str] = {}
    strays = []
    for name in _image_files(place):
        owner = owner_of(name, by_stem)
        if owner is None:
            strays.append(name)
        elif owner in pairs:
            raise DataError(
                f"{folder}: {owner} has two masks, {pairs[owner]} and {name}; remove one"
            )
        else:
            pairs[owner] = at + name
    if strays:
        raise DataError(
            f"{place}: masks that belong to no image: {listed(strays)}; a mask is called"
            " NAME_mask.png or NAME.png after its image"
        )
    return pairs


def _with_groups(folder: Path, samples: list[Sample]) -> list[Sample]:
    """Samples with the groups and parts of groups.csv; an image that it does not list is a group of
    its own.
    """
    path = folder / "groups.csv"
    if not path.is_file():
        return samples
    rows = _read_groups(path)
    known = {sample.image for sample in samples}
    strays = sorted(set(rows) - known)
    if strays:
        raise DataError(
            f"{path}: names images that do not exist: {listed(strays)}; paths are such as"
            " test/TYPE/NAME.png"
        )
    return [
        (
            replace(sample, group=rows[sample.image][0], part=rows[sample.image][1])
            if sample.image in rows
            else sample
        )
        for sample in samples
    ]


def _read_groups(path: Path) -> dict[str, tuple[str, str | None]]:
    """Image -> group and part. Raises DataError for a missing column, an empty group, or an image
    that is listed twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"image", "group"} <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{path}: needs the columns image and group (got"
                    f" {listed(reader.fieldnames or ())})"
                )
            listing = [
                [(row.get(name) or "").strip() for name in ("image", "group", "part")]
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if empty := [image for image, group, _ in listing if not group]:
        raise DataError(f"{path}: the group of {listed(empty)} is empty")
    if twice := [
        image for image, number in Counter(image for image, _, _ in listing).items() if number > 1
    ]:
        raise DataError(f"{path}: lists {listed(twice)} more than once")
    return {image: (group, part or None) for image, group, part in listing}
