"""groups.csv: which images of a category are of one group, and which part of the test set they are
in (docs/method.md section 5, "Groups").
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.samples import Sample
from apc_bench.datasets.tree import composed
from apc_bench.errors import DataError, listed
from apc_bench.files.csv_tables import CsvTable, read_csv_table

GROUPS = "groups.csv"

_CALLED = re.compile(
    r"(?:.*[^a-z])?groups?(?:[^a-z].*)?\.(?:csv|tsv|txt|xlsx?|xlsm|ods|numbers|json|parquet|ya?ml)",
    re.IGNORECASE,
)
_TEXT_ENDINGS = (".csv", ".tsv", ".txt")
_HEAD = 4096
"""Bytes of a table in which its header must end."""


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
    strays = sorted(groups.keys() - {composed(sample.image) for sample in samples})
    if strays:
        raise DataError(
            f"{path}: names images that do not exist: {listed(strays)}; paths are such as"
            " test/TYPE/NAME.png"
        )

    def grouped(sample: Sample) -> Sample:
        group, part = groups.get(composed(sample.image), (sample.group, sample.part))
        return replace(sample, group=group, part=part)

    return [grouped(sample) for sample in samples]


def misplaced_tables(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """A fault for each of these files that seems to be a table of groups, by its name or its
    header: unread, it would let one part train and be tested.
    """
    for name in names:
        if _CALLED.fullmatch(name.rpartition("/")[2]) or _has_header(folder / name):
            yield (
                f"{folder / name}: seems to be a table of groups, but only a CSV file called"
                f" {GROUPS} in a category's own folder is read; rename, move or remove it"
            )


def _has_header(path: Path) -> bool:
    """Whether a text file begins with the names of columns of images and groups."""
    if path.suffix.lower() not in _TEXT_ENDINGS:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    line = head.replace(b"\0", b"").decode("utf-8", "replace").lstrip("\ufeff\ufffd \r\n")
    columns = re.split(r"[,;\t]", line.splitlines()[0] if line else "")
    known = {column.strip(" \"'").casefold() for column in columns}
    return {"image", "group"} <= known


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
        image, group = composed(row.cells["image"]), composed(row.cells["group"])
        if not image:
            raise DataError(f"{table.path}, {row.where}: group '{group}' has no image")
        yield image, group, row.cells.get("part", "")
