"""CSV files of others, read so that no field can stand under another's name: comma, semicolon or
tab, as the header has it, in UTF-8 or in UTF-16 with its mark (Excel's "Unicode text").

A comma in a number is a decimal sign only where fields are not separated by commas and no other
reading is possible; a number that may mean two things is refused.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from apc_bench.errors import DataError, listed

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)


class CsvRow(NamedTuple):
    """A row: where it is in the file (`line 3`), and its cells by column, without outer spaces."""

    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A file's columns, as they are headed, and its rows; rows without a text are left out."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]
    separator: str


def decimal_sign(path: Path, cells: Iterable[tuple[str, str]]) -> str:
    """The decimal sign of numbers (`line 3`, text) whose fields are not separated by commas. Raises
    DataError where two are in use, or a comma may part thousands as well.
    """
    cells = tuple(cells)
    commas = [(where, text) for where, text in cells if _COMMA.fullmatch(text)]
    points = [(where, text) for where, text in cells if "." in text and _POINT.fullmatch(text)]
    if commas and points:
        (where, text), (other, pointed) = commas[0], points[0]
        raise DataError(
            f"{path}, {where}: '{text}' has a decimal comma, '{pointed}' in {other} a"
            " point; write all numbers with points"
        )
    if commas and all(_THOUSANDS.fullmatch(text) for _, text in commas):
        where, text = commas[0]
        raise DataError(
            f"{path}, {where}: the comma of '{text}' may part decimals or thousands; write"
            " numbers with points"
        )
    return "," if commas else "."


def number(text: str, decimal_sign: str = ".") -> float | None:
    """The number that a text is, whole; None for any other text, and for nan and inf."""
    if decimal_sign == "," and _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return float(text) if _POINT.fullmatch(text) else None


def read_text(path: Path, kind: str = "text") -> str:
    """A text file, line endings as they are; `kind`: what it should be.

    Raises DataError for what is no text in UTF-8, or in UTF-16 with its mark.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: not a {kind} in UTF-8 (line {line}); save it as such (in Excel: CSV UTF-8)"
        ) from None
    if "\0" in text:
        raise DataError(f"{path}: not a {kind} in UTF-8: it holds NUL characters")
    return text


def read_csv_table(path: Path) -> CsvTable:
    """The table of a CSV file. Raises DataError as `parsed_csv` does, and for what is no text."""
    return parsed_csv(path, read_text(path, "CSV file"))


def parsed_csv(path: Path, text: str) -> CsvTable:
    """The table of a CSV file's text; without columns where it is empty.

    Raises DataError that names file and line: a row of more or fewer fields than the header, a cell
    without a column, a column twice, quotes that do not close.
    """
    named = re.match(r'\s*"?sep=([,;\t])"?[\r\n]', text)  # Excel's own first line
    separator = named[1] if named else _separator(path, text)
    table = _parsed(path, text, separator, skipped=named is not None)
    _check_rows_alike(table)
    return table


def _separator(path: Path, text: str) -> str:
    """The one that stands in the header outside of quotes; a comma where none does."""
    header = re.search(r"[^\r\n]*[^\s][^\r\n]*", text)
    bare = re.sub(r'"(?:[^"]|"")*"', "", header[0] if header else "")
    found = [separator for separator in SEPARATORS if separator in bare]
    if len(found) > 1:
        names = " and ".join(SEPARATORS[separator] for separator in found)
        raise DataError(
            f"{path}: its header holds {names}; separate fields by one of them, and put a name that"
            " holds another in quotes"
        )
    return found[0] if found else ","


def _parsed(path: Path, text: str, separator: str, *, skipped: bool) -> CsvTable:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    rows = []
    try:
        for fields in reader:
            cells = [field.strip() for field in fields]
            if skipped or not any(cells):
                skipped = False
                continue
            if columns:
                rows.append(_row(path, reader.line_num, columns, cells, separator))
            else:
                columns = _columns(path, reader.line_num, cells)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV file: {error}") from None
    return CsvTable(path, tuple(columns), tuple(rows), separator)


def _columns(path: Path, line: int, names: list[str]) -> list[str]:
    """The header's names. One that is empty is a column that only an index may stand in."""
    folded = [name.casefold() for name in names if name]
    if twice := [name for name in names if folded.count(name.casefold()) > 1]:
        shown = listed(dict.fromkeys(twice))
        raise DataError(f"{path}, line {line}: two columns are called {shown}")
    return names


def _row(
    path: Path, line: int, columns: Sequence[str], cells: Sequence[str], separator: str
) -> CsvRow:
    if len(cells) != len(columns):
        hint = ""
        if len(cells) > len(columns) and separator == ",":
            hint = "; a decimal comma must be a point, and a field that holds a comma in quotes"
        raise DataError(
            f"{path}, line {line}: {len(cells)} fields separated by {SEPARATORS[separator]}, but"
            f" the header has {len(columns)}{hint}"
        )
    for column, cell in zip(columns[1:], cells[1:], strict=True):
        if cell and not column:
            raise DataError(f"{path}, line {line}: '{cell}' stands in a column without a name")
    return CsvRow(f"line {line}", dict(zip(columns, cells, strict=True)))


def _check_rows_alike(table: CsvTable) -> None:
    """Raises DataError where every row is separated otherwise than the header: then a decimal comma
    can part it into as many fields.
    """
    for separator in (";", "\t"):  # commas may be decimal signs
        parted = [any(separator in cell for cell in row.cells.values()) for row in table.rows]
        if separator != table.separator and parted and all(parted):
            raise DataError(
                f"{table.path}, {table.rows[0].where}: the rows are separated by"
                f" {SEPARATORS[separator]}, the header by {SEPARATORS[table.separator]}"
            )
