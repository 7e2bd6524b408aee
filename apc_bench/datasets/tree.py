"""What lies in a dataset's folders, by name: folders, image files, and whose mask a mask is."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from apc_bench.datasets.samples import BAD, GOOD
from apc_bench.errors import DataError, listed
from apc_bench.settings.sweep import NAME

Owner = TypeVar("Owner")
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
ENDINGS = " ".join(sorted(ending.removeprefix(".") for ending in IMAGE_ENDINGS))


def is_plain(folder: Path) -> bool:
    """Whether the folder holds normal photos in `good/` and defective ones in `bad/`."""
    return (folder / GOOD).is_dir() and (folder / BAD).is_dir()


def is_category(folder: Path) -> bool:
    """Whether the folder is of one of our layouts, complete or not."""
    return (folder / "train").is_dir() or (folder / "test").is_dir() or is_plain(folder)


def root_of(folder: Path) -> Path:
    """Where the folders of a dataset's categories lie: the folder itself, or what holds a plain
    one.
    """
    return folder.parent if is_plain(folder) else folder


def dataset_name(root: Path) -> str:
    """The folder's name as a dataset name: characters that a name may not have become '-'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip(".-_")[:64] or "dataset"


def check_name(kind: str, name: str, where: Path) -> None:
    """Raises DataError for a name of a category or defect type that cannot become a folder's."""
    if not re.fullmatch(NAME, name):
        raise DataError(
            f"{kind} {name!r} in {where} cannot be used: letters, digits, '.', '_' and '-' only, at"
            " most 64; rename the folder"
        )


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC), by which names are compared: `ü` is one letter or
    two in file names, depending on the system that wrote them, and prints alike.
    """
    return unicodedata.normalize("NFC", name)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones; none where there is no such
    folder.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if entry.is_dir())
    return sorted(entry.name for entry in entries if not entry.name.startswith("."))


def image_files(folder: Path) -> list[str]:
    """Names of the image files in a folder, sorted; anything else and hidden files are passed over,
    and there are none where there is no such folder.

    Raises DataError for a name with control characters, or with bytes that are no UTF-8.
    """
    if not folder.is_dir():
        return []
    images = (entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_ENDINGS)
    names = sorted(entry.name for entry in images if not entry.name.startswith("."))
    for name in names:
        # Cs: how Python shows bytes that are no UTF-8.
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(
                f"file name {name!r} in {folder} holds control characters or is not valid UTF-8;"
                " rename it"
            )
    return names


def owner_of(mask: str, by_stem: Mapping[str, Owner]) -> Owner | None:
    """What `by_stem` has for a mask's image: NAME of NAME.png or of NAME_mask.png."""
    stem = Path(mask).stem
    return by_stem.get(stem) or by_stem.get(stem.removesuffix("_mask"))


def paired_masks(folder: Path, place: str, images: Sequence[str]) -> dict[str, str]:
    """Image -> its mask in `place` (such as `masks/`), both relative to the folder, paired by name.

    Raises DataError for two images of one stem, and for a mask of no image: a shifted pairing is a
    wrong number.
    """
    if not (folder / place).is_dir():
        return {}
    by_stem: dict[str, str] = {}
    for image in images:
        twin = by_stem.setdefault(Path(image).stem, image)
        if twin != image:
            raise DataError(
                f"{folder}: {twin} and {image} share one name, so their masks cannot be told apart;"
                " rename one"
            )
    pairs: dict[str, str] = {}
    strays = []
    for name in image_files(folder / place):
        owner = owner_of(name, by_stem)
        if owner is None:
            strays.append(name)
        elif owner in pairs:
            raise DataError(
                f"{folder}: {owner} has two masks, {pairs[owner]} and {name}; remove one"
            )
        else:
            pairs[owner] = place + name
    if strays:
        raise DataError(
            f"{folder / place}: masks that belong to no image: {listed(strays)}; a mask is called"
            " NAME_mask.png or NAME.png after its image"
        )
    return pairs
