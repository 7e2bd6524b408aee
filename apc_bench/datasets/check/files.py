"""The files of a dataset, category by category, without stopping at what does not fit."""

from pathlib import Path

from apc_bench.datasets.layouts import beside
from apc_bench.datasets.pairing import Pairs
from apc_bench.datasets.places import is_category, is_plain
from apc_bench.datasets.roles import CategoryFiles, category_files
from apc_bench.datasets.samples import Category

__all__ = ["CategoryFiles", "files_of", "walk"]


def walk(root: Path) -> tuple[list[CategoryFiles], dict[str, str]]:
    """The categories of a dataset's folder, or the one that a plain folder is; and what lies beside
    them, with the reason why it is not read. Raises OSError.
    """
    if is_plain(root):
        return [category_files(root.resolve())], {}
    folders = (entry for entry in sorted(root.iterdir()) if is_category(entry))
    return [category_files(folder) for folder in folders], beside(root)


def files_of(category: Category) -> CategoryFiles:
    """The files of a category that a reader of another package reads."""
    files = CategoryFiles(category.name, category.folder, plain=False)
    pairs = Pairs()
    for sample in category.samples:
        files.images[sample.image] = (sample.training, sample.defect_type)
        files.masks[sample.defect_type] += sample.masks
        pairs.owner |= dict.fromkeys(sample.masks, sample.image)
    files.pairs, files.passed_over = pairs, dict(category.unused)
    return files
