"""Result tables of other tools as records: patchcore-inspection, anomalib, ADer, Dinomaly and
INP-Former, by the names of their columns (dialects.py).

Values are fractions or percent, which the largest of a table tells. These tools train on normal
images alone and test on the full test set.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from apc_bench.compare.dialects import DIALECTS, LINES, Dialect, plain
from apc_bench.compare.record import Record, Side
from apc_bench.compare.table_files import FileTable, read_tables
from apc_bench.errors import DataError, UsageError, listed
from apc_bench.files.csv_tables import CsvRow, decimal_sign, number

MEANS = {"mean", "avg", "avg.", "average", "overall", "total", "mean (all)", "mittelwert", "ø"}
NO_FIGURE = {"", "-", "–", "—", "nan", "none", "null", "n/a", "na"}
"""What stands in a cell where a tool has no figure."""

FRACTION_MAX = 1.5
"""A table with a larger figure is in percent."""


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
    try:
        return _side(path, *chosen[0])
    except DataError as error:
        raise UsageError(str(error)) from None


class _Figure(NamedTuple):
    """A number of a table, as it is printed in a row."""

    row: CsvRow
    metric: str
    number: float
    in_percent: bool

    @property
    def is_time(self) -> bool:
        """In seconds, and no fraction."""
        return self.metric.startswith("seconds")


def _side(path: Path, table: FileTable, dialect: Dialect) -> Side:
    if table.fault is not None:
        raise UsageError(f"{path}, {table.fault}")
    figures = _figures(path, table, dialect)
    records = _records(path, table, dialect, figures)
    records = _without_made_means(_once(path, table, records))
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


def _figures(path: Path, table: FileTable, dialect: Dialect) -> list[_Figure]:
    """Row by row, without cells that say that there is none. Raises UsageError for a cell with
    anything else than one number.
    """
    cells = []
    for row in table.rows:
        for column, metric in dialect.measured(table.columns).items():
            text = _bare_figure(row.cells[column])
            if text.rstrip("%").casefold() not in NO_FIGURE:
                cells.append((row, column, metric, text))
    numbers = [(row.where, text.rstrip("%")) for row, _, _, text in cells]
    sign = "." if table.commas else decimal_sign(path, numbers)
    figures = []
    for row, column, metric, text in cells:
        value = number(text.rstrip("%"), sign)
        if value is None:
            raise UsageError(
                f"{path}, {row.where}: {column} is '{row.cells[column]}', which is not one number"
                " with a decimal point"
            )
        figures.append(_Figure(row, metric, value, text.endswith("%")))
    return figures


def _records(
    path: Path, table: FileTable, dialect: Dialect, figures: Sequence[_Figure]
) -> list[Record]:
    """The figures as fractions of 1, with whose they are. Raises UsageError for a number that is
    none.
    """
    fractions = [figure for figure in figures if not figure.is_time]
    if not fractions:
        raise UsageError(f"{path}: the table of {dialect.tool} holds no number")
    in_percent = max(figure.number for figure in fractions) > FRACTION_MAX
    in_percent = in_percent or any(figure.in_percent for figure in fractions)
    _check_categories(path, table, dialect)
    records = []
    for figure in figures:
        method, category, seed = _place(figure.row, table, dialect)
        value = figure.number / 100 if in_percent and not figure.is_time else figure.number
        if value < 0 or not (value <= 1 or figure.is_time):
            raise UsageError(
                f"{path}, {figure.row.where}: {figure.metric} of {category or 'the mean'} is"
                f" {figure.number:g}, which is neither a fraction nor a percentage"
            )
        records.append(Record(method, 0, category, seed, figure.metric, value, "full"))
    if in_percent:
        _check_one_unit(path, fractions)
    return records


def _check_one_unit(path: Path, figures: Sequence[_Figure]) -> None:
    """Raises UsageError where a table in percent holds fractions too: an AUROC, a whole row or a
    whole metric of at most 1. A precision of less than 1 % among larger ones is one.
    """
    alike: dict[tuple[str, str], list[_Figure]] = {}
    for figure in figures:
        if figure.number > 0 and not figure.in_percent:
            for group in (("row", figure.row.where), ("metric", figure.metric)):
                alike.setdefault(group, []).append(figure)
            if figure.metric.endswith("auroc"):
                alike["figure", f"{figure.row.where} {figure.metric}"] = [figure]
    for together in alike.values():
        if all(figure.number <= 1 for figure in together):
            one = together[0]
            raise UsageError(
                f"{path}, {one.row.where}: {one.metric} is {one.number:g} in a table"
                " of percentages; write all figures in percent, or all as fractions"
            )


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


def _once(path: Path, table: FileTable, records: Sequence[Record]) -> list[Record]:
    """A log is evaluated again and again as it trains: its last figures count. In any other table
    two rows of one place cannot be told apart: raises UsageError.
    """
    last: dict[tuple[object, ...], Record] = {}
    for record in records:
        last[_printed_for(record)] = record
    for record in records:
        if table.heading != LINES and last[_printed_for(record)] is not record:
            raise UsageError(
                f"{path}: two rows for {record.method} on {record.category or 'the mean'}, seed"
                f" {record.seed}; keep one of them"
            )
    return list(last.values())


def _printed_for(record: Record) -> tuple[object, ...]:
    return record.system, record.category, record.seed, record.metric


def _check_categories(path: Path, table: FileTable, dialect: Dialect) -> None:
    """Raises UsageError for a row without a category in a table of categories."""
    without = [row for row in table.rows if not _category_cell(row, table, dialect)]
    if without and len(without) < len(table.rows):
        raise UsageError(f"{path}, {without[0].where}: names no category, as other rows do")


def _category_cell(row: CsvRow, table: FileTable, dialect: Dialect) -> str:
    return _bare_name(_first_cell(row, table, dialect.category)).removeprefix("mvtec_")


def _place(row: CsvRow, table: FileTable, dialect: Dialect) -> tuple[str, str | None, int | None]:
    """Method, category (None: the mean) and seed of a row."""
    method = _bare_name(_first_cell(row, table, dialect.method))
    if re.fullmatch(r"[\w.]+", method):  # anomalib.models.Padim
        method = method.rpartition(".")[2]
    name = _category_cell(row, table, dialect)
    category = None if not name or name.casefold() in MEANS else name
    seed = re.fullmatch(r"(\d+)(\.0*)?", _first_cell(row, table, ("seed",)), re.ASCII)
    return method or dialect.tool, category, int(seed[1]) if seed else None


def _first_cell(row: CsvRow, table: FileTable, names: Iterable[str]) -> str:
    """Of the columns with these names the first that is not empty in the row."""
    for name in names:
        for column in table.columns:
            if plain(column) == name and row.cells[column].strip():
                return row.cells[column].strip()
    return ""


def _rounded(figures: Sequence[_Figure]) -> bool:
    """Whether percentages are printed with one decimal, which is more than a reader would
    overlook.
    """
    for figure in figures:
        for text in figure.row.cells.values():
            one_decimal = re.fullmatch(r"\**(\d+\.\d)\**", text.strip())
            if one_decimal and float(one_decimal[1]) > 1.5:
                return True
    return False


def _bare_name(text: str) -> str:
    """`[PatchCore, CVPR'22](https://…)` -> `PatchCore, CVPR'22`; `**Mean**` -> `Mean`."""
    text = text.strip("*` ")
    linked = re.fullmatch(r"\[(.*?)\]\(.*\)", text)
    return linked[1] if linked else text


def _bare_figure(text: str) -> str:
    """A cell without markup and spaces: `**98.8** %` -> `98.8%`."""
    return re.sub(r"<[^>]*>|[*`\s]", "", text)
