"""Whose mask is whose, by name alone: NAME_mask.png or NAME.png in the folder of masks, or several
in a folder NAME there (as MVTec LOCO has them); and masks that lie beside the photos.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from apc_bench.datasets.places import Place
from apc_bench.datasets.tree import is_mask_folder, without_mask_word
from apc_bench.errors import listed


@dataclass(slots=True)
class Pairs:
    """Which mask is whose. `owner`: mask -> image; `strays`, `several`: mask -> why it has none, or
    more than one.
    """

    owner: dict[str, str] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)
    several: dict[str, str] = field(default_factory=dict)

    def by_image(self) -> dict[str, list[str]]:
        """Image -> its masks, sorted."""
        masks: dict[str, list[str]] = defaultdict(list)
        for mask, image in sorted(self.owner.items()):
            masks[image].append(mask)
        return masks


def pair_by_name(images: Mapping[str, Place], masks: Mapping[str, Place]) -> Pairs:
    """Pairs masks with anomalous images: path -> place, each. A shifted pairing would be a wrong
    number, so a mask that could be of two images is of none.
    """
    pairs, index = Pairs(), _Index(images)
    claims: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for mask, place in masks.items():
        of_folder = index.called_as_folder(place)
        owners = index.called_alike(place) | of_folder or index.elsewhere(place)
        if not owners:
            pairs.strays[mask] = "no image of this name"
        elif len(owners) > 1:
            names = " and ".join(sorted(owners))
            pairs.several[mask] = f"{names} share one name, so {mask} could be of either"
        else:
            claims[owners.pop()].append((mask, bool(of_folder)))
    for image, claimed in claims.items():
        first, *others = (mask for mask, _ in claimed)
        pairs.owner[first] = image
        for mask in others:
            if all(of_folder for _, of_folder in claimed):
                pairs.owner[mask] = image
            else:
                pairs.several[mask] = f"{image} has two masks, {first} and {mask}"
    return pairs


class _Index:
    """Images by what a mask may be called after."""

    def __init__(self, images: Mapping[str, Place]) -> None:
        self._places = images
        self._by_key: dict[tuple[str | None, str], set[str]] = defaultdict(set)
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for image, place in images.items():
            self._by_key[place.kind, place.key].add(image)
            self._by_name[place.name].add(image)

    def called_alike(self, mask: Place) -> set[str]:
        """Images in the mask's own folder of its type, called NAME."""
        keys = (f"{mask.around}/{name}" if mask.around else name for name in _names(mask))
        return next((set(found) for key in keys if (found := self._at(mask.kind, key))), set())

    def called_as_folder(self, mask: Place) -> set[str]:
        """Images that are called as the folder that the mask lies in."""
        return set(self._at(mask.kind, mask.around)) if mask.around else set()

    def elsewhere(self, mask: Place) -> set[str]:
        """Images called NAME, where either lies in no folder below its type's, or the mask in none
        at all.
        """
        for name in _names(mask):
            found = {image for image in self._by_name.get(name, ()) if self._near(mask, image)}
            if found:
                return found
        return set()

    def _at(self, kind: str | None, key: str) -> set[str]:
        return self._by_key.get((kind, key), set())

    def _near(self, mask: Place, image: str) -> bool:
        place = self._places[image]
        if mask.kind is None:
            return not mask.around
        return place.kind == mask.kind and not (place.around and mask.around)


def _names(mask: Place) -> Sequence[str]:
    """NAME as it may be meant: of NAME.png, else of NAME_mask.png."""
    photo = without_mask_word(mask.name)
    return (mask.name, photo) if photo else (mask.name,)


def unpaired(folder: Path, pairs: Pairs) -> Iterator[str]:
    """A fault for masks that could be of several images, or are not the only ones, and for those of
    none, by folder.
    """
    for why in pairs.several.values():
        yield f"{folder}: {why}; rename or remove one"
    strays: dict[str, list[str]] = defaultdict(list)
    for mask in pairs.strays:
        around, _, name = mask.rpartition("/")
        strays[around].append(name)
    for around, names in strays.items():
        yield (
            f"{folder / around}: masks that belong to no image: {listed(names)}; a mask is called"
            " NAME_mask.png or NAME.png after its image"
        )


def masks_beside(images: Mapping[str, Place]) -> dict[str, str]:
    """Mask -> photo, of images that are called as masks of a photo beside them: NAME_mask.png, or
    mask/NAME.png in a folder below, beside NAME.*; path -> place of all images of a category.
    """
    by_place: dict[Place, list[str]] = defaultdict(list)
    for image, place in images.items():
        by_place[place].append(image)
    beside = {}
    for image, place in images.items():
        for key in _photo_keys(place.key):
            twins = by_place.get(Place(place.side, place.kind, key))
            if twins:
                beside[image] = twins[0]
                break
    return beside


def called_as_mask(place: Place) -> bool:
    """Whether an image is called as a mask, whatever lies beside it."""
    return any(True for _ in _photo_keys(place.key))


def _photo_keys(key: str) -> Iterator[str]:
    """The keys that a photo may have whose mask has this one."""
    path = PurePosixPath(key)
    photo = without_mask_word(path.name)
    if photo:
        yield (path.parent / photo).as_posix()
    if is_mask_folder(path.parent.name):
        outside = path.parent.parent
        yield (outside / path.name).as_posix()
        if photo:
            yield (outside / photo).as_posix()
