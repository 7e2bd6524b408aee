"""groups.csv: which images of a category are of one group, and which part of the test set they are
in (docs/method.md section 5, "Groups").
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.samples import Sample
from apc_bench.errors import DataError, listed
from apc_bench.files.csv_tables import CsvTable, read_csv_table

GROUPS = "groups.csv"


def with_groups(folder: Path, samples: list[Sample]) -> list[Sample]:
    """Samples with the groups and parts of the folder's groups.csv; an image that it does not list
    is a group of its own.

    Raises DataError for a missing column, an empty group, and images that do not exist or are
    listed twice.
    """
    path = folder / GROUPS
    if not path.is_file():
        return samples
    groups = _read_groups(path)
    strays = sorted(groups.keys() - {sample.image for sample in samples})
    if strays:
        raise DataError(
            f"{path}: names images that do not exist: {listed(strays)}; paths are such as"
            " test/TYPE/NAME.png"
        )

    def grouped(sample: Sample) -> Sample:
        group, part = groups.get(sample.image, (sample.group, sample.part))
        return replace(sample, group=group, part=part)

    return [grouped(sample) for sample in samples]


def _read_groups(path: Path) -> dict[str, tuple[str, str | None]]:
    """Image -> group and part."""
    rows = list(_rows(read_csv_table(path)))
    if not rows:
        raise DataError(f"{path}: lists no image; without groups no such file is needed")
    empty = [image for image, group, _ in rows if not group]
    if empty:
        raise DataError(f"{path}: the group of {listed(empty)} is empty")
    times = Counter(image for image, _, _ in rows)
    twice = [image for image, number in times.items() if number > 1]
    if twice:
        raise DataError(f"{path}: lists {listed(twice)} more than once")
    return {image: (group, part or None) for image, group, part in rows}


def _rows(table: CsvTable) -> Iterable[tuple[str, str, str]]:
    """Image, group and part of each row; empty for a column or cell that is not there."""
    if not {"image", "group"} <= set(table.columns):
        names = listed(table.columns)
        raise DataError(f"{table.path}: needs the columns image and group (got {names})")
    for row in table.rows:
        yield row.cells["image"], row.cells["group"], row.cells.get("part", "")
