"""The tables in a file, whoever wrote it: CSV (files/csv_tables.py), JSON (a list of records), pipe
tables as in Markdown and ADer's logs, and Dinomaly's lines `bottle: I-Auroc:0.99, …`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apc_bench.compare.dialects import LINES
from apc_bench.errors import DataError, UsageError
from apc_bench.files.csv_tables import CsvRow, parsed_csv, read_text

BYTES_MAX = 64_000_000


@dataclass(frozen=True, slots=True)
class FileTable:
    """A table of a file: the heading that it stands under, its columns, and its rows as texts.

    `commas`: whether commas part its fields, so that none is a decimal sign. `fault`: where its
    cells do not fit its columns; None where they do.
    """

    heading: str
    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]
    commas: bool = False
    fault: str | None = None


def read_tables(path: Path) -> list[FileTable]:
    """Every table of a file. Raises UsageError where it cannot be read as what it is."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise UsageError(f"{path}: {path.stat().st_size:,} bytes are no table of results")
        text = read_text(path)
        match path.suffix.lower():
            case ".json":
                return _records(path, text)
            case ".csv" | ".tsv":
                return _separated(path, text)
            case _:
                return [*_pipes(text), *_lines(text)]
    except DataError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _separated(path: Path, text: str) -> list[FileTable]:
    table = parsed_csv(path, text)
    if not table.columns:
        return []
    return [FileTable("", table.columns, table.rows, commas=table.separator == ",")]


def _records(path: Path, text: str) -> list[FileTable]:
    """A list of records, or an object of columns as pandas writes it."""
    try:
        value = json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if isinstance(value, dict):
        value = _by_row(path, value)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise UsageError(f"{path}: not a list of records")
    names: dict[str, None] = {}
    for record in value:
        names |= dict.fromkeys(map(str, record))
    rows = []
    for number, record in enumerate(value, 1):
        cells = {name: _cell(record.get(name)) for name in names}
        rows.append(CsvRow(f"record {number}", cells))
    return [FileTable("", tuple(names), tuple(rows))]


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which keeps the last of two values of one name unless it is told."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"'{name}' is there twice in one object")
        values[name] = value
    return values


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _by_row(path: Path, value: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns, lists or objects by the row's name, as records; any other object is one record."""
    columns: dict[str, dict[Any, Any]] = {}
    for name, column in value.items():
        if not isinstance(column, list | dict):
            return [value]
        columns[name] = column if isinstance(column, dict) else dict(enumerate(column))
    if not columns:
        return [value]
    rows = list(next(iter(columns.values())))
    for name, column in columns.items():
        if column.keys() != set(rows):
            raise UsageError(f"{path}: its columns have other rows ('{name}' has {len(column)})")
    return [{name: column[row] for name, column in columns.items()} for row in rows]


def _pipes(text: str) -> list[FileTable]:
    """Tables of Markdown, also inside a log whose lines begin with a date, each under the heading
    above it.
    """
    tables, heading, block = [], "", list[tuple[str, list[str]]]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if "|" in line and line.rstrip().endswith("|"):
            inside = line[line.index("|") :].strip()[1:-1]
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", inside)]
            block.append((f"line {number}", cells))
            continue
        if len(block) > 2 and all(re.fullmatch(r":?-+:?", cell) for cell in block[1][1]):
            tables.append(_table(heading, block[0][1], block[2:]))
        block = []
        if line.startswith("#"):
            heading = line.strip("# ")
    return tables


def _lines(text: str) -> list[FileTable]:
    """`bottle: I-Auroc:1.0000, I-AP:1.0000, …` of Dinomaly and INP-Former; a category evaluated
    several times has several rows.
    """
    items = []
    names: dict[str, None] = {}
    fault = None
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(r"([\w.-]+): ([IPO]-[\w-]+:\s*(?:\d|nan).*)", line)
        if found is None:
            continue
        figures = {}
        for part in found[2].strip().rstrip(",").split(","):
            name, _, figure = part.strip().partition(":")
            if fault is None and not re.fullmatch(r"[IPO]-[\w-]+", name):
                fault = f"line {number}: '{part.strip()}' is no figure"
            figures[name] = figure.strip()
        names |= dict.fromkeys(figures)
        items.append((f"line {number}", found[1], figures))
    if not items:
        return []
    lines = [(where, [item, *(own.get(name, "") for name in names)]) for where, item, own in items]
    return [replace(_table(LINES, ["Name", *names], lines), fault=fault)]


def _table(
    heading: str, columns: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]]
) -> FileTable:
    """A table of lines; its fault is the first that is shorter or longer than its heading."""
    rows, fault = [], None
    for where, cells in lines:
        if len(cells) != len(columns) and fault is None:
            fault = f"{where}: {len(cells)} cells, but the table's heading has {len(columns)}"
        rows.append(CsvRow(where, dict(zip(columns, cells, strict=False))))
    return FileTable(heading, tuple(columns), tuple(rows), fault=fault)
