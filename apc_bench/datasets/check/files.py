"""Which part each file of a dataset plays, without stopping at what does not fit (mvtec.py and
plain.py say what a sweep reads).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apc_bench.datasets.groups import GROUPS
from apc_bench.datasets.samples import BAD, GOOD, Category
from apc_bench.datasets.tree import IMAGE_ENDINGS, is_category, is_plain


@dataclass(slots=True)
class CategoryFiles:
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

    def counts(self, *, training: bool) -> Counter[str]:
        """Images of each defect type, to learn from or to test on."""
        return Counter(kind for learned, kind in self.images.values() if learned == training)

    def on_both_sides(self, names: Sequence[str]) -> bool:
        """Whether some of these images are to learn from, and others to test on."""
        return len({self.images[name][0] for name in names}) > 1

    def good_and_bad(self, names: Sequence[str]) -> bool:
        """Whether some of these images are normal, and others anomalous."""
        return len({self.images[name][1] == GOOD for name in names}) > 1


def walk(root: Path) -> tuple[list[CategoryFiles], dict[str, str]]:
    """The categories of a dataset's folder, or the one that a plain folder is; and what lies beside
    them, with the reason why it is not read.
    """
    if is_plain(root):
        return [_category(root)], {}
    categories, beside = [], {}
    for entry in sorted(root.iterdir()):
        if is_category(entry):
            categories.append(_category(entry))
        elif entry.is_dir():
            beside[entry.name] = "a folder without train and test, or good and bad"
        else:
            beside[entry.name] = "a file beside the categories"
    return categories, beside


def files_of(category: Category) -> CategoryFiles:
    """The files of a category that a reader of another package reads."""
    files = CategoryFiles(category.name, category.folder, plain=False)
    for sample in category.samples:
        files.images[sample.image] = (sample.training, sample.defect_type)
        if sample.mask:
            files.masks[sample.defect_type].append(sample.mask)
            files.pairs[sample.image] = sample.mask
    return files


def _category(folder: Path) -> CategoryFiles:
    plain = is_plain(folder) and not (folder / "train").is_dir()
    files = CategoryFiles(folder.resolve().name, folder, plain)
    for name in _below(folder):
        if name != GROUPS:
            _place(files, name)
    return files


def _below(folder: Path) -> Iterator[str]:
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


def _place(files: CategoryFiles, name: str) -> None:
    """Puts a file where it belongs by its name."""
    *folders, _ = parts = name.split("/")
    if any(part.startswith(".") for part in parts):
        files.passed_over[name] = "hidden"
        return
    if Path(name).suffix.lower() not in IMAGE_ENDINGS:
        files.passed_over[name] = f"not an image by its ending ({' '.join(sorted(IMAGE_ENDINGS))})"
        return
    match _role(tuple(folders), plain=files.plain):
        case None:
            files.passed_over[name] = "in a folder that is not read"
        case "mask", kind:
            files.masks[kind].append(name)
        case role, kind:
            files.images[name] = (role == "train", kind)


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
