"""Dataset readers of other packages, for folders of no layout of ours: `reader(root, name)` gives a
Dataset, or None where it does not know the folder.
"""

from dataclasses import replace
from itertools import chain
from pathlib import Path

from apc_bench import plugins
from apc_bench.datasets.samples import GOOD, Category, Dataset
from apc_bench.datasets.tree import (
    check_name,
    composed,
    files_below,
    is_hidden,
    is_normal,
    shown,
)
from apc_bench.errors import DataError


def read_by_plugins(root: Path, name: str) -> Dataset | None:
    """What an installed reader makes of the folder; None where no reader knows it. Each category's
    files must lie in `root`/category. Raises DataError for what does not fit, or is claimed twice.
    """
    claims: dict[str, Dataset] = {}
    for reader in chain.from_iterable(plugins.offered(plugins.READERS).values()):
        dataset = _asked(reader, root, name)
        if dataset is not None:
            _check(dataset, root, str(reader))
            claims[str(reader)] = dataset
    if len(claims) > 1:
        raise DataError(f"{root} is claimed by {' and by '.join(claims)}: uninstall one of them")
    for named, dataset in claims.items():
        categories = (_with_unused(category, named) for category in dataset.categories)
        return replace(dataset, categories=tuple(categories))
    return None


def _with_unused(category: Category, reader: str) -> Category:
    """The category with the files of its folder that the reader does not name."""
    used = {path for sample in category.samples for path in (sample.image, *sample.masks)}
    unused = {
        shown(name): "hidden" if is_hidden(name) else f"not named by {reader}"
        for name in files_below(category.folder)
        if name not in used
    }
    return replace(category, unused=unused)


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


def _check(dataset: Dataset, root: Path, reader: str) -> None:
    if not isinstance(dataset, Dataset) or not dataset.categories:
        raise DataError(f"{reader} gave no Dataset with categories for {root}")
    for category in dataset.categories:
        check_name("category", category.name, root)
        _check_category(category, root / category.name, reader)


def _check_category(category: Category, folder: Path, reader: str) -> None:
    if category.folder.resolve() != folder.resolve():
        raise DataError(
            f"{reader}: category '{category.name}' must lie in {folder}, got {category.folder}"
        )
    images = [sample.image for sample in category.samples]
    masks = [mask for sample in category.samples for mask in sample.masks]
    for path in images + masks:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise DataError(
                f"{reader}: {path!r} of category '{category.name}' leads out of its folder"
            )
    if len({composed(image) for image in images}) < len(images):
        raise DataError(f"{reader}: category '{category.name}' has an image twice")
    for kind in {sample.defect_type for sample in category.samples}:
        check_name("defect type", kind, category.folder)
        if kind != GOOD and is_normal(kind):
            raise DataError(
                f"{reader}: category '{category.name}' has '{kind}' as a defect type; normal images"
                f" are of the type '{GOOD}'"
            )
