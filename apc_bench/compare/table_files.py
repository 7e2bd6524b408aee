"""The tables in a file, whoever wrote it: CSV (comma) and TSV, JSON (a list of records), pipe
tables as in Markdown and ADer's logs, and Dinomaly's lines `bottle: I-Auroc:0.99, …`.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apc_bench.compare.dialects import LINES
from apc_bench.errors import UsageError

BYTES_MAX = 64_000_000


@dataclass(frozen=True, slots=True)
class FileTable:
    """A table of a file: the heading that it stands under, its columns, and its rows as texts."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


def read_tables(path: Path) -> list[FileTable]:
    """Every table of a file. Raises UsageError where it cannot be read as text."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise UsageError(f"{path}: {path.stat().st_size:,} bytes are no table of results")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    match path.suffix.lower():
        case ".json":
            return _records(path, text)
        case ".csv":
            return _separated(path, text, ",")
        case ".tsv":
            return _separated(path, text, "\t")
        case _:
            return [*_pipes(text), *_lines(text)]


def _records(path: Path, text: str) -> list[FileTable]:
    """A list of records, or an object of columns as pandas writes it."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if isinstance(value, dict):
        value = _by_row(value)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise UsageError(f"{path}: not a list of records")
    names: dict[str, None] = {}
    for record in value:
        names |= dict.fromkeys(map(str, record))
    lines = ([str(record.get(name, "")) for name in names] for record in value)
    return [_table("", list(names), lines)]


def _by_row(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns, lists or objects by the row's name, as records; any other object is one record."""
    columns = []
    for column in value.values():
        if not isinstance(column, list | dict):
            return [value]
        columns.append(column if isinstance(column, list) else list(column.values()))
    if not columns:
        return [value]
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=False)]


def _separated(path: Path, text: str, delimiter: str) -> list[FileTable]:
    lines = []
    try:
        for line in csv.reader(io.StringIO(text), delimiter=delimiter):
            cells = _stripped(line)
            if any(cells):
                lines.append(cells)
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}") from None
    return [_table("", lines[0], lines[1:])] if lines else []


def _pipes(text: str) -> list[FileTable]:
    """Tables of Markdown, also inside a log whose lines begin with a date, each under the heading
    above it.
    """
    tables, heading, block = [], "", list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if "|" in line and line.rstrip().endswith("|"):
            inside = line[line.index("|") :].strip().strip("|")
            block.append(_stripped(inside.split("|")))
            continue
        if len(block) > 2 and all(re.fullmatch(r":?-+:?", cell) for cell in block[1]):
            tables.append(_table(heading, block[0], block[2:]))
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
    for line in re.finditer(r"(?m)([\w.-]+): ((?:[IPO]-\w+:[\d.]+(?:, )?)+)", text):
        figures = dict(re.findall(r"([IP]-\w+):\s*([\d.]+)", line[2]))
        names |= dict.fromkeys(figures)
        items.append((line[1], figures))
    rows = []
    for item, figures in items:
        rows.append([item, *(figures.get(name, "") for name in names)])
    return [_table(LINES, ["Name", *names], rows)] if rows else []


def _stripped(cells: Iterable[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _table(heading: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> FileTable:
    """A table of lines, which may be shorter or longer than its heading."""
    rows = []
    for line in lines:
        padded = [*line, *[""] * len(columns)]
        rows.append(dict(zip(columns, padded, strict=False)))
    return FileTable(heading, tuple(columns), tuple(rows))
