"""Dataset readers of other packages, for folders of no layout of ours: `reader(root, name)` gives a
Dataset, or None where it does not know the folder.
"""

from itertools import chain
from pathlib import Path

from apc_bench import plugins
from apc_bench.datasets.samples import Category, Dataset
from apc_bench.datasets.tree import check_name
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
    return next(iter(claims.values()), None)


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
    if len(set(images)) < len(images):
        raise DataError(f"{reader}: category '{category.name}' has an image twice")
    for sample in category.samples:
        check_name("defect type", sample.defect_type, category.folder)
