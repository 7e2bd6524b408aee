"""From a folder to a dataset: categories in MVTec's layout (mvtec.py), plain folders (plain.py), or
what a reader of another package knows (readers.py). Reads names only, never pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.groups import GROUPS, misplaced_tables, with_groups
from apc_bench.datasets.mvtec import mvtec_samples
from apc_bench.datasets.places import is_category, is_plain, near_layouts, no_such_folder
from apc_bench.datasets.plain import plain_samples, with_test_set
from apc_bench.datasets.readers import read_by_plugins
from apc_bench.datasets.roles import category_files
from apc_bench.datasets.samples import Category, Dataset, Sample
from apc_bench.datasets.tree import ORIGIN, check_name, dataset_name, is_hidden, shown
from apc_bench.errors import DataError, unknown

__all__ = ["Category", "Dataset", "Sample", "read_dataset"]  # readers of other packages import them


def read_dataset(
    root: Path, *, name: str | None = None, categories: Sequence[str] | None = None
) -> Dataset:
    """Reads a folder in MVTec layout, or of plain ones: `good/` and `bad/` (or `bad/<type>/`); or
    one such plain folder, as a category.

    `categories`: only these. Raises DataError when there is no such folder or one that cannot be
    listed, no category in it, an unknown category, a category without `train/good`, `test/good` or
    images there, folders or files whose role is not clear, masks that belong to no image or twice
    to one, a groups.csv that does not fit or is called otherwise, or a name that cannot become a
    folder name.
    """
    try:
        return _read(root, name, categories)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None


def _read(root: Path, name: str | None, categories: Sequence[str] | None) -> Dataset:
    if not root.is_dir():
        raise DataError(no_such_folder(root))
    name = name or dataset_name(root)
    if is_plain(root):
        part = root.resolve()
        _check_known(part.parent, categories or (), [part.name])
        return Dataset(name, part.parent, (read_category(part),))
    known = sorted(entry.name for entry in root.iterdir() if is_category(entry))
    if not known:
        return _of_reader(root, name, categories)
    _check_known(root, categories or (), known)
    chosen = [category for category in known if not categories or category in categories]
    read = tuple(read_category(root / category) for category in chosen)
    unused = beside(root)
    for fault in misplaced_groups(root, chosen, unused):
        raise DataError(fault)
    return Dataset(name, root, read, unused)


def _of_reader(root: Path, name: str, categories: Sequence[str] | None) -> Dataset:
    """The dataset that a reader of another package makes of the folder."""
    dataset = read_by_plugins(root, name)
    if dataset is None:
        raise DataError(
            f"no category in {root}: none of its folders has train/good and test, or good and"
            f" bad{near_layouts(root)}"
        )
    _check_known(root, categories or (), [category.name for category in dataset.categories])
    if not categories:
        return dataset
    chosen = [category for category in dataset.categories if category.name in categories]
    return replace(dataset, categories=tuple(chosen))


def _check_known(root: Path, categories: Sequence[str], known: Sequence[str]) -> None:
    for wanted in categories:
        if wanted not in known:
            raise DataError(f"{root}: {unknown('category', wanted, known)}")


def read_category(folder: Path) -> Category:
    """A category in MVTec's layout or a plain folder. Raises DataError, OSError."""
    check_name("category", folder.name, folder.parent)
    files = category_files(folder)
    for fault in files.faults:
        raise DataError(fault)
    samples = with_groups(folder, (plain_samples if files.plain else mvtec_samples)(files))
    if files.plain:
        samples = with_test_set(files, samples)
    in_order = tuple(sorted(samples, key=lambda sample: sample.image))
    return Category(
        folder.name,
        folder,
        in_order,
        unused=files.passed_over,
        remarks=tuple(files.remarks),
    )


def beside(root: Path) -> dict[str, str]:
    """What lies beside the categories of a dataset's folder, with the reason why no trial uses it:
    a folder is named, not gone through.
    """
    found = {}
    for entry in sorted(root.iterdir()):
        if is_hidden(entry.name):
            found[shown(entry.name)] = "hidden"
        elif entry.is_dir() and not is_category(entry):
            found[f"{shown(entry.name)}/"] = "a folder without train and test, or good and bad"
        elif not entry.is_dir() and entry.name != ORIGIN:
            found[shown(entry.name)] = "a file beside the categories"
    return found


def misplaced_groups(
    root: Path, categories: Sequence[str], unused: Mapping[str, str]
) -> Iterator[str]:
    """A fault for tables of groups beside the categories, unless each has one of its own."""
    if not all((root / category / GROUPS).is_file() for category in categories):
        files = [name for name in unused if not name.endswith("/") and not is_hidden(name)]
        yield from misplaced_tables(root, files)
