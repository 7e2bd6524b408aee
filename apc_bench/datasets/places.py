"""Which layout a folder is of, and what place a file has in it: whatever the case of letters, and
under the other names that such folders have.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apc_bench.datasets.samples import BAD, GOOD
from apc_bench.datasets.tree import (
    composed,
    is_defective,
    is_mask_folder,
    is_normal,
    subfolders,
)
from apc_bench.errors import listed
from apc_bench.wording import enumerated

TRAIN, TEST, MASK = "train", "test", "mask"

NOT_READ = "in a folder that is not read"
VALIDATION = "a validation image, which no protocol here learns from or tests"


def is_plain(folder: Path) -> bool:
    """Whether the folder holds normal photos in `good/` and defective ones in `bad/`, or in folders
    that are called alike.
    """
    names = [name for name in subfolders(folder) if is_normal(name) or is_defective(name)]
    photos = [name for name in names if not _is_mvtec(folder / name)]
    return any(map(is_normal, photos)) and any(map(is_defective, photos))


def is_plain_category(folder: Path) -> bool:
    """Whether a category's folder is read as a plain one: it may hold `train/` and `good/` both."""
    return is_plain(folder) and not (folder / TRAIN).is_dir()


def is_category(folder: Path) -> bool:
    """Whether the folder is of one of our layouts, complete or not."""
    return _is_mvtec(folder) or is_plain(folder)


def _is_mvtec(folder: Path) -> bool:
    return (folder / TRAIN).is_dir() or (folder / TEST).is_dir()


def root_of(folder: Path) -> Path:
    """Where the folders of a dataset's categories lie: the folder itself, or what holds a plain
    one.
    """
    return folder.parent if is_plain(folder) else folder


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies. `side`: train, test or mask; `kind`: the defect type, None of a mask that
    lies in no folder of one; `key`: its path below, without ending, in NFC.
    """

    side: str
    kind: str | None
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def around(self) -> str:
        """The folders of the key."""
        return self.key.rpartition("/")[0]


def no_such_folder(root: Path) -> str:
    """The message for a dataset that is not there: what is, and what one looks like."""
    parent = root.absolute().parent
    names = subfolders(parent) if parent.is_dir() else []
    near = difflib.get_close_matches(root.name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{root.with_name(near[0])}'?" if near else ""
    return (
        f"no such folder: {root} (a dataset is a folder with good/ and bad/, or in MVTec layout:"
        f" CATEGORY/train/good, CATEGORY/test/TYPE){hint}"
    )


def near_layouts(folder: Path) -> str:
    """What a folder without a category lacks to have one, or to be one; empty where that cannot be
    told.
    """
    if _is_mvtec(folder):
        return "; this folder is a category itself: give its parent"
    if is_plain(folder.parent):
        return f"; it lies in {folder.parent}, which has good and defective photos: give that"
    for place in (folder, *(folder / name for name in subfolders(folder))):
        names = subfolders(place)
        if renaming := misspelt(place):
            return renaming
        normal = [name for name in names if is_normal(name)]
        if normal:
            others = [name for name in names if not is_normal(name) and not is_mask_folder(name)]
            where = f" ({listed(others, 4)})" if others else ""
            return (
                f"; {place / normal[0]} holds normal photos: put the folders of defects{where} into"
                f" {place / BAD}"
            )
        if bad := [name for name in names if is_defective(name)]:
            return (
                f"; {place / bad[0]} holds photos of defects: put normal photos into {place / GOOD}"
            )
    return ""


def misspelt(folder: Path) -> str:
    """How to rename `Train` and `TEST` in a category's folder; empty where they are not there."""
    names = subfolders(folder)
    renamed = [
        f"{folder / name} to {name.casefold()}"
        for name in names
        if name.casefold() in {TRAIN, TEST} - {*names}
    ]
    return f"; rename {enumerated(renamed)}" if renamed else ""


class _Layout:
    """What the folders of a category are taken for, however they are called. `faults`: what cannot
    be told; `remarks`: what is read otherwise than its name says.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self._parts = [name.split("/") for name in names]

    def below(self, *around: str) -> list[str]:
        """Folders with images in them, at this place."""
        depth = len(around)
        inside = (
            parts[depth]
            for parts in self._parts
            if tuple(parts[:depth]) == around and len(parts) > depth + 1
        )
        return sorted(set(inside))

    def one(self, usual: str, called: Callable[[str], bool], what: str, *around: str) -> str | None:
        """The one folder at this place that is called so, with a remark where that is not by its
        usual name; None where there is none, or, with a fault, where there are several.
        """
        found = [name for name in self.below(*around) if called(name)]
        paths = ["/".join((*around, name)) for name in found]
        if len(found) > 1:
            self.faults.append(
                f"{self.folder}: {enumerated(paths)} would all be read as {what}; put {what} into"
                f" {'/'.join((*around, usual))}, and rename what is something else"
            )
            return None
        if found and found[0] != usual:
            self.remarks.append(f"{paths[0]} is read as {what}")
        return found[0] if found else None


class MvtecPlaces(_Layout):
    """train/good, train/TYPE, test/good, test/TYPE and ground_truth/TYPE."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(folder, names)
        self._normal = {
            side: self.one(GOOD, is_normal, "normal photos", side) for side in (TRAIN, TEST)
        }
        self._truth = self.one("ground_truth", is_mask_folder, "masks")
        self._types = {*self.below(TRAIN), *self.below(TEST)} - set(self._normal.values())

    def of(self, name: str) -> Place | str:
        """The place of an image or mask, or why no trial uses it."""
        top, *below = name.split("/")
        if top in (TRAIN, TEST) and len(below) > 1:
            kind = GOOD if below[0] == self._normal[top] else below[0]
            return Place(top, kind, _key(below[1:]))
        if below and top == self._truth:
            return _mask_place(below, self._types, None)
        if top.casefold() in ("validation", "valid", "val"):
            return VALIDATION
        return NOT_READ


class PlainPlaces(_Layout):
    """good, bad, bad/TYPE, masks and masks/TYPE."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(folder, names)
        self._normal = self.one(GOOD, is_normal, "normal photos")
        self._defective = self.one(BAD, is_defective, "photos of defects")
        self._masks = self.one("masks", is_mask_folder, "masks")
        self._flat = any(name.split("/")[:-1] == [self._defective] for name in names)
        self._types: set[str] = set()
        if self._defective:
            self._types = set(self.below(self._defective))
            if self._flat:  # a folder of masks beside the photos is no type
                self._types = {kind for kind in self._types if not is_mask_folder(kind)}
            normal = [kind for kind in self._types if is_normal(kind)]
            self.faults += [
                f"{folder / self._defective / kind}: photos of defects cannot be of the type"
                f" '{kind}'; rename the folder"
                for kind in sorted(normal)
            ]

    def of(self, name: str) -> Place | str:
        """The place of an image or mask, or why no trial uses it."""
        top, *below = name.split("/")
        if below and top == self._normal:
            return Place(TRAIN, GOOD, _key(below))
        if below and top == self._defective:
            if len(below) > 1 and below[0] in self._types:
                return Place(TEST, below[0], _key(below[1:]))
            return Place(TEST, BAD, _key(below))
        if below and top == self._masks:
            if len(below) > 1 and below[0] not in self._types and is_defective(below[0]):
                below = below[1:]
            return _mask_place(below, self._types, BAD if self._flat else None)
        return NOT_READ


def _mask_place(below: Sequence[str], types: set[str], otherwise: str | None) -> Place | str:
    """The place of a mask, by its path in the folder of masks."""
    if len(below) > 1 and below[0] in types:
        return Place(MASK, below[0], _key(below[1:]))
    if len(below) > 1 and is_normal(below[0]):
        return Place(MASK, GOOD, _key(below[1:]))
    return Place(MASK, otherwise, _key(below))


def _key(parts: Sequence[str]) -> str:
    return composed(PurePosixPath(*parts).with_suffix("").as_posix())
