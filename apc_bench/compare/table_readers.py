"""Result tables of other tools as rows: patchcore-inspection, anomalib, ADer, Dinomaly and
INP-Former, by the names of their columns.

Files are CSV (comma), JSON (a list of records), pipe tables as in Markdown and ADer's logs, or
Dinomaly's lines `bottle: I-Auroc:0.99, …`. Values are fractions or percent, which the largest of a
table tells. These tools train on normal images alone and test on the full test set.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apc_bench.compare.dialects import DIALECTS, LINES, Dialect, plain
from apc_bench.compare.record import Row, Side
from apc_bench.errors import UsageError, listed

BYTES_MAX = 64_000_000
MEANS = {"mean", "avg", "average", "total", "mean (all)"}


@dataclass(frozen=True, slots=True)
class Found:
    """A table of a file: the heading that it stands under, its columns, and its rows as texts."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


def read_foreign(path: Path, heading: str = "") -> Side:
    """A file of another tool. `heading`: part of the heading of the table that is meant, where
    there are several. Raises UsageError.
    """
    known = [
        (table, dialect)
        for table in _tables(path)
        for dialect in DIALECTS
        if dialect.speaks(table.columns)
    ]
    chosen = [pair for pair in known if heading.lower() in pair[0].heading.lower()]
    if not known:
        tools = listed(dict.fromkeys(dialect.tool for dialect in DIALECTS))
        raise UsageError(
            f"{path}: no table of results that is known here ({tools}): none of its columns is one"
            " of theirs"
        )
    if len(chosen) != 1:
        headings = listed((table.heading or "no heading" for table, _ in known), 6)
        raise UsageError(
            f"{path}: {len(chosen) or 'none'} of its tables fit '{heading}'; name one as"
            f" {path}#HEADING (it has: {headings})"
        )
    return _side(path, *chosen[0])


def _side(path: Path, table: Found, dialect: Dialect) -> Side:
    columns = {
        column: metric for column in table.columns if (metric := dialect.metrics.get(plain(column)))
    }
    cells = [
        (row, metric, number)
        for row in table.rows
        for column, metric in columns.items()
        if (number := _number(row[column])) is not None
    ]
    measured = [number for _, metric, number in cells if not metric.startswith("seconds")]
    if not measured:
        raise UsageError(f"{path}: the table of {dialect.tool} holds no number")
    percent = 0.01 if max(measured) > 1.5 else 1.0
    rows = []
    for row, metric, number in cells:
        method, category, seed = _place(row, table, dialect)
        value = number if metric.startswith("seconds") else number * percent
        if not 0 <= value <= 1 and not metric.startswith("seconds"):
            raise UsageError(
                f"{path}: {metric} of {category or 'the mean'} is {number:g}, which is neither a"
                " fraction nor a percentage"
            )
        rows.append(Row(method, 0, category, seed, metric, value, "full"))
    with_categories = {(row.method, row.seed, row.metric) for row in rows if row.category}
    rows = [
        row
        for row in rows
        if row.category or (row.method, row.seed, row.metric) not in with_categories
    ]  # means can be made again
    apart = {
        column: why
        for column in table.columns
        for name, why in dialect.apart.items()
        if plain(column) == name
    }
    used = {row.metric for row in rows}
    cautions = {metric: why for metric, why in dialect.cautions.items() if metric in used}
    categories = tuple(dict.fromkeys(row.category for row in rows if row.category)) or None
    notes = (*dialect.notes, *_rounding(cells, table))
    return Side(
        str(path),
        "table",
        None,
        _each_once(path, rows),
        categories,
        cautions=cautions,
        apart=apart,
        notes=notes,
    )


def _each_once(path: Path, rows: Sequence[Row]) -> tuple[Row, ...]:
    """A log is evaluated again and again as it trains: its last figures count. Elsewhere two rows
    of one place cannot be told apart.
    """
    once = {(row.system, row.category, row.seed, row.metric): row for row in rows}
    if len(once) < len(rows) and path.suffix == ".csv":
        twice = next(
            row for row in rows if once[row.system, row.category, row.seed, row.metric] is not row
        )
        raise UsageError(
            f"{path}: two rows for {twice.method} on {twice.category or 'the mean'}, seed"
            f" {twice.seed}; keep one of them"
        )
    return tuple(once.values())


def _place(
    row: Mapping[str, str], table: Found, dialect: Dialect
) -> tuple[str, str | None, int | None]:
    """Method, category (None: the mean) and seed of a row."""

    def first(names: Iterable[str]) -> str:
        return next(
            (
                row[column].strip()
                for name in names
                for column in table.columns
                if plain(column) == name and row[column].strip()
            ),
            "",
        )

    method = _named(first(dialect.method)) or dialect.tool
    category = _named(first(dialect.category)).removeprefix("mvtec_")
    seed = first(("seed",))
    return (
        method,
        None if not category or category.lower() in MEANS else category,
        int(seed) if seed.isdigit() else None,
    )


def _rounding(
    cells: Sequence[tuple[Mapping[str, str], str, float]], table: Found
) -> tuple[str, ...]:
    """How far a printed figure may be off, where that is more than a reader would overlook."""
    texts = {
        text
        for row, *_ in cells
        for text in row.values()
        if re.fullmatch(r"\**\d+\.\d\**", text.strip())
    }
    return (
        ("its figures are rounded to 0.1 points",)
        if texts and max(float(text.strip("* ")) for text in texts) > 1.5
        else ()
    )


def _named(text: str) -> str:
    """`[PatchCore, CVPR'22](https://…)` -> `PatchCore, CVPR'22`; `anomalib.models.Padim` ->
    `Padim`.
    """
    linked = re.fullmatch(r"\[(.*?)\]\(.*\)", text)
    return (
        linked[1] if linked else text.rpartition(".")[2] if re.fullmatch(r"[\w.]+", text) else text
    )


def _number(text: str) -> float | None:
    found = re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.sub(r"<[^>]*>|[*%\s]", "", text))
    return float(found[0]) if found else None


def _tables(path: Path) -> list[Found]:
    """Every table of a file. Raises UsageError where it cannot be read as text."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise UsageError(f"{path}: {path.stat().st_size:,} bytes are no table of results")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if path.suffix.lower() == ".json":
        return _records(path, text)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _separated(path, text)
    return [*_pipes(text), *_lines(text)]


def _records(path: Path, text: str) -> list[Found]:
    """A list of records, or an object of columns as pandas writes it."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(column, list | dict) for column in value.values())
    ):
        columns = {
            name: list(column.values()) if isinstance(column, dict) else column
            for name, column in value.items()
        }
        value = [
            dict(zip(columns, row, strict=False)) for row in zip(*columns.values(), strict=False)
        ]
    records = [value] if isinstance(value, dict) else value
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UsageError(f"{path}: not a list of records")
    names = tuple(dict.fromkeys(str(name) for record in records for name in record))
    return [
        Found(
            "",
            names,
            tuple({name: str(record.get(name, "")) for name in names} for record in records),
        )
    ]


def _separated(path: Path, text: str) -> list[Found]:
    try:
        lines = list(
            csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        )
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}") from None
    lines = [
        [cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line)
    ]
    return [_found("", lines[0], lines[1:])] if lines else []


def _pipes(text: str) -> list[Found]:
    """Tables of Markdown, also inside a log whose lines begin with a date, each under the heading
    above it.
    """
    tables, heading, block = [], "", list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if "|" in line and line.rstrip().endswith("|"):
            block.append(
                [cell.strip() for cell in line[line.index("|") :].strip().strip("|").split("|")]
            )
            continue
        if len(block) > 2 and all(re.fullmatch(r":?-+:?", cell) for cell in block[1]):
            tables.append(_found(heading, block[0], block[2:]))
        block = []
        if line.startswith("#"):
            heading = line.strip("# ")
    return tables


def _lines(text: str) -> list[Found]:
    """`bottle: I-Auroc:1.0000, I-AP:1.0000, …` of Dinomaly and INP-Former; a category evaluated
    several times has several rows.
    """
    found = [
        (line[1], re.findall(r"([IP]-\w+):\s*([\d.]+)", line[2]))
        for line in re.finditer(r"(?m)([\w.-]+): ((?:[IPO]-\w+:[\d.]+(?:, )?)+)", text)
    ]
    if not found:
        return []
    names = ["Name", *dict.fromkeys(name for _, pairs in found for name, _ in pairs)]
    return [
        _found(
            LINES,
            names,
            [[item, *(dict(pairs).get(name, "") for name in names[1:])] for item, pairs in found],
        )
    ]


def _found(heading: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> Found:
    rows = tuple(dict(zip(columns, [*line, *[""] * len(columns)], strict=False)) for line in lines)
    return Found(heading, tuple(columns), rows)
