"""groups.csv: which images of a category are of one group, and which part of the test set they are
in (docs/method.md section 5, "Groups").
"""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.samples import Sample
from apc_bench.errors import DataError, listed

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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(path, csv.DictReader(file)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from None
    empty = [image for image, group, _ in rows if not group]
    if empty:
        raise DataError(f"{path}: the group of {listed(empty)} is empty")
    times = Counter(image for image, _, _ in rows)
    twice = [image for image, number in times.items() if number > 1]
    if twice:
        raise DataError(f"{path}: lists {listed(twice)} more than once")
    return {image: (group, part or None) for image, group, part in rows}


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterable[tuple[str, str, str]]:
    """Image, group and part of each row; empty for a column or cell that is not there."""
    columns = reader.fieldnames or ()
    if not {"image", "group"} <= set(columns):
        raise DataError(f"{path}: needs the columns image and group (got {listed(columns)})")
    for row in reader:
        image, group, part = ((row.get(name) or "").strip() for name in ("image", "group", "part"))
        yield image, group, part
