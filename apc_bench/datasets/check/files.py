"""Which part each file of a dataset plays, without stopping at what does not fit (layouts.py says
what a sweep reads).
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apc_bench.datasets.samples import BAD, GOOD, Category
from apc_bench.datasets.tree import IMAGE_ENDINGS, is_category, is_plain


@dataclass(slots=True)
class Found:
    """A category's files, by path relative to its folder. `images`: path -> (training, defect
    type); `masks`: defect type -> paths; `passed_over`: path -> why no sweep reads it. `plain`:
    good/ and bad/ instead of train/ and test/. `pairs`: image -> mask, where a reader of another
    package says so; elsewhere names do.
    """

    name: str
    folder: Path
    plain: bool
    images: dict[str, tuple[bool, str]] = field(default_factory=dict)
    masks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    passed_over: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)


def walk(root: Path) -> tuple[list[Found], dict[str, str]]:
    """The categories of a dataset's folder, or the one that a plain folder is; and what lies beside
    them, with the reason why it is not read.
    """
    if is_plain(root):
        return [_category(root)], {}
    categories, beside = [], {}
    for entry in sorted(root.iterdir()):
        if is_category(entry):
            categories.append(_category(entry))
        else:
            beside[entry.name] = (
                "a folder without train and test, or good and bad"
                if entry.is_dir()
                else "a file beside the categories"
            )
    return categories, beside


def as_read(category: Category) -> Found:
    """The files of a category that a reader of another package reads."""
    found = Found(category.name, category.folder, plain=False)
    for sample in category.samples:
        found.images[sample.image] = (sample.training, sample.defect_type)
        if sample.mask:
            found.masks[sample.defect_type].append(sample.mask)
            found.pairs[sample.image] = sample.mask
    return found


def _category(folder: Path) -> Found:
    found = Found(
        folder.resolve().name, folder, is_plain(folder) and not (folder / "train").is_dir()
    )
    for name in _files(folder):
        _place(found, name)
    return found


def _files(folder: Path) -> Iterator[str]:
    """Every file below, as a path with forward slashes; folders that are links are followed once,
    as the reader does.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            yield (Path(place) / name).relative_to(folder).as_posix()


def _place(found: Found, name: str) -> None:
    parts = tuple(name.split("/"))
    if name == "groups.csv":
        return
    role = _role(parts[:-1], plain=found.plain)
    if any(part.startswith(".") for part in parts):
        found.passed_over[name] = "hidden"
    elif Path(name).suffix.lower() not in IMAGE_ENDINGS:
        found.passed_over[name] = f"not an image by its ending ({' '.join(sorted(IMAGE_ENDINGS))})"
    elif role is None:
        found.passed_over[name] = "in a folder that is not read"
    elif role[0] == "mask":
        found.masks[role[1]].append(name)
    else:
        found.images[name] = (role[0] == "train", role[1])


def _role(place: tuple[str, ...], *, plain: bool) -> tuple[str, str] | None:
    """('train' | 'test' | 'mask', defect type) of a folder's files; in a plain folder normal photos
    are 'train' until they are split.
    """
    match place, plain:
        case ("good",), True:
            return "train", GOOD
        case ("bad",), True:
            return "test", BAD
        case ("bad", kind), True:
            return "test", kind
        case ("masks",), True:
            return "mask", BAD
        case ("masks", kind), True:
            return "mask", kind
        case ("train" | "test" as part, kind), False:
            return part, kind
        case ("ground_truth", kind), False:
            return "mask", kind
    return None
