"""Result tables of other tools as records: patchcore-inspection, anomalib, ADer, Dinomaly and
INP-Former, by the names of their columns (dialects.py).

Values are fractions or percent, which the largest of a table tells. These tools train on normal
images alone and test on the full test set.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from apc_bench.compare.dialects import DIALECTS, Dialect, plain
from apc_bench.compare.record import Record, Side
from apc_bench.compare.table_files import FileTable, read_tables
from apc_bench.errors import UsageError, listed

MEANS = {"mean", "avg", "average", "total", "mean (all)"}


def read_foreign(path: Path, heading: str = "") -> Side:
    """A file of another tool. `heading`: part of the heading of the table that is meant, where
    there are several. Raises UsageError.
    """
    known = []
    for table in read_tables(path):
        known += [(table, dialect) for dialect in DIALECTS if dialect.speaks(table.columns)]
    if not known:
        tools = listed(dict.fromkeys(dialect.tool for dialect in DIALECTS))
        raise UsageError(
            f"{path}: no table of results that is known here ({tools}): none of its columns is one"
            " of theirs"
        )
    chosen = [pair for pair in known if heading.lower() in pair[0].heading.lower()]
    if len(chosen) != 1:
        headings = listed((table.heading or "no heading" for table, _ in known), 6)
        raise UsageError(
            f"{path}: {len(chosen) or 'none'} of its tables fit '{heading}'; name one as"
            f" {path}#HEADING (it has: {headings})"
        )
    return _side(path, *chosen[0])


class _Figure(NamedTuple):
    """A number of a table, as it is printed in a row."""

    row: Mapping[str, str]
    metric: str
    number: float

    @property
    def is_time(self) -> bool:
        """In seconds, and no fraction."""
        return self.metric.startswith("seconds")


def _side(path: Path, table: FileTable, dialect: Dialect) -> Side:
    figures = _figures(table, dialect)
    records = _once(path, _without_made_means(_records(path, table, dialect, figures)))
    measured = {record.metric for record in records}
    cautions = {metric: why for metric, why in dialect.cautions.items() if metric in measured}
    categories = dict.fromkeys(record.category for record in records if record.category)
    notes = dialect.notes
    if _rounded(figures):
        notes = (*notes, "its figures are rounded to 0.1 points")
    return Side(
        str(path),
        "table",
        None,
        tuple(records),
        tuple(categories) or None,
        cautions=cautions,
        apart=dialect.unlike(table.columns),
        notes=notes,
    )


def _figures(table: FileTable, dialect: Dialect) -> list[_Figure]:
    """Row by row, without cells that hold no number."""
    measured = dialect.measured(table.columns)
    figures = []
    for row in table.rows:
        for column, metric in measured.items():
            number = _number(row[column])
            if number is not None:
                figures.append(_Figure(row, metric, number))
    return figures


def _records(
    path: Path, table: FileTable, dialect: Dialect, figures: Sequence[_Figure]
) -> list[Record]:
    """The figures as fractions of 1, with whose they are. Raises UsageError for a number that is
    none.
    """
    fractions = [figure.number for figure in figures if not figure.is_time]
    if not fractions:
        raise UsageError(f"{path}: the table of {dialect.tool} holds no number")
    percent = 0.01 if max(fractions) > 1.5 else 1.0
    records = []
    for figure in figures:
        method, category, seed = _place(figure.row, table, dialect)
        value = figure.number if figure.is_time else figure.number * percent
        if not 0 <= value <= 1 and not figure.is_time:
            raise UsageError(
                f"{path}: {figure.metric} of {category or 'the mean'} is {figure.number:g}, which"
                " is neither a fraction nor a percentage"
            )
        records.append(Record(method, 0, category, seed, figure.metric, value, "full"))
    return records


def _without_made_means(records: Sequence[Record]) -> list[Record]:
    """Without the means of figures whose categories are there: those can be made again."""
    in_categories = set()
    for record in records:
        if record.category:
            in_categories.add((record.method, record.seed, record.metric))
    return [
        record
        for record in records
        if record.category or (record.method, record.seed, record.metric) not in in_categories
    ]


def _once(path: Path, records: Sequence[Record]) -> list[Record]:
    """A log is evaluated again and again as it trains: its last figures count. In a CSV file two
    rows of one place cannot be told apart: raises UsageError.
    """
    last: dict[tuple[object, ...], Record] = {}
    for record in records:
        last[_printed_for(record)] = record
    for record in records:
        if path.suffix == ".csv" and last[_printed_for(record)] is not record:
            raise UsageError(
                f"{path}: two rows for {record.method} on {record.category or 'the mean'}, seed"
                f" {record.seed}; keep one of them"
            )
    return list(last.values())


def _printed_for(record: Record) -> tuple[object, ...]:
    return record.system, record.category, record.seed, record.metric


def _place(
    row: Mapping[str, str], table: FileTable, dialect: Dialect
) -> tuple[str, str | None, int | None]:
    """Method, category (None: the mean) and seed of a row."""
    method = _bare_name(_first_cell(row, table, dialect.method)) or dialect.tool
    name = _bare_name(_first_cell(row, table, dialect.category)).removeprefix("mvtec_")
    category = None if not name or name.lower() in MEANS else name
    seed = _first_cell(row, table, ("seed",))
    return method, category, int(seed) if seed.isdigit() else None


def _first_cell(row: Mapping[str, str], table: FileTable, names: Iterable[str]) -> str:
    """Of the columns with these names the first that is not empty in the row."""
    for name in names:
        for column in table.columns:
            if plain(column) == name and row[column].strip():
                return row[column].strip()
    return ""


def _rounded(figures: Sequence[_Figure]) -> bool:
    """Whether percentages are printed with one decimal, which is more than a reader would
    overlook.
    """
    for figure in figures:
        for text in figure.row.values():
            one_decimal = re.fullmatch(r"\**(\d+\.\d)\**", text.strip())
            if one_decimal and float(one_decimal[1]) > 1.5:
                return True
    return False


def _bare_name(text: str) -> str:
    """`[PatchCore, CVPR'22](https://…)` -> `PatchCore, CVPR'22`; `anomalib.models.Padim` ->
    `Padim`.
    """
    linked = re.fullmatch(r"\[(.*?)\]\(.*\)", text)
    if linked:
        return linked[1]
    return text.rpartition(".")[2] if re.fullmatch(r"[\w.]+", text) else text


def _number(text: str) -> float | None:
    """The number in a cell, without markup and percent sign; None where it holds none."""
    number = re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.sub(r"<[^>]*>|[*%\s]", "", text))
    return float(number[0]) if number else None
