"""What lies in a dataset's folders, by name: endings of images, names of folders, and every file
below one.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from PIL import features

from apc_bench.errors import DataError
from apc_bench.settings.sweep import NAME

FORMATS: Mapping[str, tuple[str, ...]] = {
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "PPM": (".pgm", ".ppm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    **({"WEBP": (".webp",)} if features.check("webp") else {}),
    **({"JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx")} if features.check("jpg_2000") else {}),
}
"""Formats that are decoded, as Pillow calls them, with the endings by which a file is an image; the
last two where this Pillow has their codec. Others of its formats call other programs (EPS) or hold
what is no photo.
"""

IMAGE_ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)
ENDINGS = " ".join(sorted(ending.removeprefix(".") for ending in IMAGE_ENDINGS))

NORMAL_NAMES = frozenset({"good", "ok", "okay", "normal"})
"""What folders of normal photos are called, in any case of letters."""

DEFECTIVE_NAMES = frozenset(
    {"bad", "ng", "nok", "ko", "defect", "defects", "defective", "anomaly", "anomalies"}
    | {"anomalous", "abnormal", "faulty"}
)
"""What a plain folder's photos of defects lie in, in any case of letters."""

MASK_WORDS = r"masks?|labels?|gt|ground[-_ ]?truths?|seg|segmentations?"
_MASK_FOLDER = re.compile(rf"(?:{MASK_WORDS})\Z", re.IGNORECASE)
_MASK_STEM = re.compile(rf"(?P<photo>.+?)[-_. ](?:{MASK_WORDS})\Z", re.IGNORECASE)

ORIGIN = "apc-bench.json"
"""Where a fetched dataset says what it was made of."""

SYSTEM_FOLDERS = (".", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN")
"""How the names of folders begin that file managers and network drives leave behind, with small
copies of photos in them.
"""


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


def is_text(name: str) -> bool:
    """Whether a file's name holds no control characters, and no bytes that are no UTF-8."""
    # Cs: how Python shows bytes that are no UTF-8.
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def shown(name: str) -> str:
    """A file's name as it can be printed and written, whatever it holds."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC), by which names are compared: `ü` is one letter or
    two in file names, depending on the system that wrote them, and prints alike.
    """
    return unicodedata.normalize("NFC", name)


def is_image(name: str) -> bool:
    """Whether a file is an image by its ending."""
    return PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder that it lies in, is none of the user's own."""
    return any(part.startswith(SYSTEM_FOLDERS) for part in path.split("/"))


def is_normal(name: str) -> bool:
    """Whether a folder is called like one of normal photos."""
    return name.casefold() in NORMAL_NAMES


def is_defective(name: str) -> bool:
    """Whether a folder beside normal photos is called like one of defective photos."""
    return name.casefold() in DEFECTIVE_NAMES


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called like one of masks."""
    return _MASK_FOLDER.match(name) is not None


def without_mask_word(stem: str) -> str | None:
    """NAME of NAME_mask, NAME_label, NAME_gt and the like; None of any other stem."""
    match = _MASK_STEM.match(stem)
    return match["photo"] if match else None


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones; none where there is no such
    folder.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if entry.is_dir())
    return sorted(entry.name for entry in entries if not is_hidden(entry.name))


def files_below(folder: Path) -> Iterator[str]:
    """Every file below, as a path with forward slashes, sorted within each folder. Links to folders
    are followed, unless they lead to one that they lie in. Raises OSError.
    """

    def refuse(error: OSError) -> None:
        raise error

    inside: dict[Path, frozenset[str]] = {}
    for where, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        place, real = Path(where), os.path.realpath(where)
        around = inside.pop(place, frozenset())
        if real in around:
            folders.clear()
            continue
        folders.sort()
        for name in folders:
            inside[place / name] = around | {real}
        for name in sorted(names):
            yield (place / name).relative_to(folder).as_posix()
