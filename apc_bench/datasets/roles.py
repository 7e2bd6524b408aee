"""Which part each file of a category plays, by its name and folder: what a sweep reads, what `data
check` looks at and what no trial uses all rest on this.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apc_bench.datasets.groups import GROUPS, misplaced_tables
from apc_bench.datasets.pairing import (
    Pairs,
    called_as_mask,
    masks_beside,
    pair_by_name,
    unpaired,
)
from apc_bench.datasets.places import (
    MASK,
    TRAIN,
    MvtecPlaces,
    Place,
    PlainPlaces,
    is_plain_category,
)
from apc_bench.datasets.samples import BAD, GOOD, Sample
from apc_bench.datasets.tree import composed, files_below, is_hidden, is_image, is_text, shown
from apc_bench.errors import DataError, listed
from apc_bench.wording import counted, enumerated

NO_IMAGE = "no image by its ending"
OF_NORMAL = "a mask of a normal image"


@dataclass(slots=True)
class CategoryFiles:
    """A category's files, by path relative to its folder.

    `images`: path -> (training, defect type); in a plain folder (good/ and bad/ instead of train/
    and test/) normal ones count as training until they are split. `masks`: defect type -> paths.
    `pairs`: whose mask is whose. `passed_over`: path -> why no trial uses it. `remarks`: what is
    read otherwise than its name says. `faults`: why a sweep does not read the category.
    """

    name: str
    folder: Path
    plain: bool
    images: dict[str, tuple[bool, str]] = field(default_factory=dict)
    masks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pairs: Pairs = field(default_factory=Pairs)
    passed_over: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def counts(self, *, training: bool) -> Counter[str]:
        """Images of each defect type, to learn from or to test on."""
        return Counter(kind for learned, kind in self.images.values() if learned == training)

    def on_both_sides(self, names: Sequence[str]) -> bool:
        """Whether some of these images are to learn from, and others to test on."""
        return len({self.images[name][0] for name in names}) > 1

    @property
    def bare(self) -> list[str]:
        """Its anomalous images without a mask."""
        masked = set(self.pairs.owner.values())
        anomalous = (name for name, (_, kind) in self.images.items() if kind != GOOD)
        return [name for name in anomalous if name not in masked]

    def samples(self) -> list[Sample]:
        """Its images with their masks, each a group of its own. Raises DataError for masks that
        belong to no image, or could belong to several.
        """
        for fault in unpaired(self.folder, self.pairs):
            raise DataError(fault)
        masks = self.pairs.by_image()
        samples = []
        for path, (training, kind) in self.images.items():
            mask, *more = masks.get(path) or (None,)
            samples.append(Sample(path, mask, kind, training, path, more_masks=tuple(more)))
        return samples

    def good_and_bad(self, names: Sequence[str]) -> bool:
        """Whether some of these images are normal, and others anomalous."""
        return len({self.images[name][1] == GOOD for name in names}) > 1


def category_files(folder: Path) -> CategoryFiles:
    """Every file of a category and its role. Raises OSError."""
    plain = is_plain_category(folder)
    files = CategoryFiles(folder.name, folder, plain)
    names = [name for name in files_below(folder) if _may_be_image(files, name)]
    if not (folder / GROUPS).is_file():
        others = [name for name, why in files.passed_over.items() if why == NO_IMAGE]
        files.faults += misplaced_tables(folder, others)
    files.faults += _printed_alike(folder, names)
    layout = (PlainPlaces if plain else MvtecPlaces)(folder, names)
    files.faults += layout.faults
    files.remarks += layout.remarks
    images: dict[str, Place] = {}
    masks: dict[str, Place] = {}
    for name in names:
        match layout.of(name):
            case str(why):
                files.passed_over[name] = why
            case place:
                (masks if place.side == MASK else images)[name] = place
    _sort(files, images, masks)
    return files


def _may_be_image(files: CategoryFiles, name: str) -> bool:
    """Whether a file is an image by its name; otherwise it is passed over."""
    if is_hidden(name):
        files.passed_over[shown(name)] = "hidden"
        return False
    if not is_image(name):
        if name != GROUPS:
            files.passed_over[shown(name)] = NO_IMAGE
        return False
    if not is_text(name):
        files.faults.append(
            f"file name {name!r} in {files.folder} holds control characters or is not valid UTF-8;"
            " rename it"
        )
        return False
    return True


def _printed_alike(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """A fault for files whose names differ in nothing that can be seen."""
    times = Counter(composed(name) for name in names)
    alike = [name for name, number in times.items() if number > 1]
    if alike:
        yield (
            f"{folder}: names that print alike, {listed(alike)}: letters such as ü are made in two"
            " ways (Unicode's NFC and NFD); rename or remove one of each"
        )


def _sort(files: CategoryFiles, images: Mapping[str, Place], masks: Mapping[str, Place]) -> None:
    """Puts images and masks where they belong, and pairs them."""
    beside = masks_beside(images)
    if beside:
        files.faults += _unclear(files, images, masks, beside)
        files.remarks.append(
            f"{counted(len(beside), 'image')} called as masks of the photos beside them are read as"
            f" masks ({listed(beside, 2)})"
        )
    photos = {name: place for name, place in images.items() if name not in beside}
    for name, place in photos.items():
        files.images[name] = (place.side == TRAIN, place.kind or BAD)
    for name, place in {**masks, **{name: images[name] for name in beside}}.items():
        files.masks[place.kind or BAD].append(name)
        if place.kind == GOOD:
            files.passed_over[name] = OF_NORMAL
    files.pairs = pair_by_name(_anomalous(photos), _anomalous(masks))
    for mask, photo in beside.items():
        if images[mask].kind != GOOD:
            files.pairs.owner[mask] = photo
    files.remarks += _nested(photos)


def _anomalous(places: Mapping[str, Place]) -> dict[str, Place]:
    return {name: place for name, place in places.items() if place.kind != GOOD}


def _unclear(
    files: CategoryFiles,
    images: Mapping[str, Place],
    masks: Mapping[str, Place],
    beside: Mapping[str, str],
) -> Iterator[str]:
    """A fault for images that are called as masks of photos `beside` them (mask -> photo), unless
    each anomalous photo has one of them and no other mask.
    """
    times = Counter(beside.values())
    photos = {name: place for name, place in images.items() if name not in beside}
    alone = [name for name, place in photos.items() if called_as_mask(place)]
    bare = [name for name in _anomalous(photos) if not times[name] and name not in alone]
    several = [name for name, number in times.items() if number > 1 or name in beside]
    why = ""
    if _anomalous(masks):
        why = f"there are masks in {next(iter(_anomalous(masks))).split('/')[0]} too"
    elif bare:
        why = f"anomalous photos have none: {listed(bare, 4)}"
    elif several:
        why = f"photos have several: {listed(several, 4)}"
    elif alone:
        why = f"others are beside no photo: {listed(alone, 4)}"
    if why:
        place = "masks" if files.plain else "ground_truth"
        yield (
            f"{files.folder}: images called as masks of the photos beside them"
            f" ({listed(beside, 4)}), but {why}; move masks to {place}/<defect type>, and rename"
            " what is a photo"
        )


def _nested(photos: Mapping[str, Place]) -> Iterator[str]:
    """A remark on photos that lie in folders below those of their type."""
    nested: Counter[str] = Counter()
    for name, place in photos.items():
        if place.around:
            depth = len(place.key.split("/"))
            nested["/".join(name.split("/")[:-depth])] += 1
    if nested:
        numbers = [f"{counted(number, 'image')} of {top}" for top, number in nested.items()]
        yield f"{enumerated(numbers)} lie in folders below it, and are read with the others"
