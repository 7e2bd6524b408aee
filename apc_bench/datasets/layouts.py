"""From a folder to a dataset: categories in MVTec's layout (mvtec.py), plain folders (plain.py), or
what a reader of another package knows (readers.py). Reads names only, never pixels.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.mvtec import read_mvtec
from apc_bench.datasets.plain import read_plain
from apc_bench.datasets.readers import read_by_plugins
from apc_bench.datasets.samples import Category, Dataset, Sample
from apc_bench.datasets.tree import dataset_name, is_category, is_plain
from apc_bench.errors import DataError, unknown

__all__ = ["Category", "Dataset", "Sample", "read_dataset"]  # readers of other packages import them


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
    name = name or dataset_name(root)
    if is_plain(root):
        part = root.resolve()
        return _read(part.parent, name, categories or [part.name])
    known = sorted(entry.name for entry in root.iterdir() if is_category(entry))
    of_reader = None if known else read_by_plugins(root, name)
    if of_reader is not None:
        known = [category.name for category in of_reader.categories]
    if not known:
        hint = ""
        if (root / "train").is_dir():
            hint = "; this folder is a category itself: give its parent"
        raise DataError(
            f"no category in {root}: none of its folders has train/good and test, or good and"
            f" bad{hint}"
        )
    for wanted in categories or ():
        if wanted not in known:
            raise DataError(f"{root}: {unknown('category', wanted, known)}")
    chosen = [category for category in known if not categories or category in categories]
    if of_reader is not None:
        read = [category for category in of_reader.categories if category.name in chosen]
        return replace(of_reader, categories=tuple(read))
    return Dataset(name, root, tuple(_read_category(root / category) for category in chosen))


def _read_category(folder: Path) -> Category:
    if is_plain(folder) and not (folder / "train").is_dir():
        return read_plain(folder)
    return read_mvtec(folder)
