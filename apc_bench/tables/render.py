"""A table as Markdown, CSV and Parquet (LaTeX: latex.py; terminal: terminal.py; HTML: the page's
template).
"""

import csv
import html
import io
import re
from collections.abc import Sequence

import polars as pl

from apc_bench.tables.table import Cell, Table, Value

# An underscore between letters or digits is no markup, so AUROC_im may stay readable.
_MARKDOWN = re.compile(r"([\\`*\[\]|#~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def markdown(table: Table) -> str:
    """A heading, a pipe table, and the definitions as a list."""
    table = table.for_readers
    lines = [f"## {_plain(table.title)}", ""]
    lines.append("| " + " | ".join(_plain(column.title) for column in table.columns) + " |")
    lines.append(
        "|" + "|".join("--:" if column.numeric else ":--" for column in table.columns) + "|"
    )
    lines += [
        "| " + " | ".join(_markdown_cell(cell) for cell in row.cells) + " |" for row in table.rows
    ]
    lines += ["", *(f"- **{_plain(note.label)}:** {_plain(note.text)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = _plain(cell.text)
    return f"**{text}**" if cell.best else text


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, one line."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(text.split())), quote=False)


def comma_separated(table: Table) -> str:
    """The unrounded values, one line a row, nothing else; the definitions are in the Markdown file
    beside it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field for column in table.columns for field in column.fields])
    writer.writerows(
        ["" if value is None else value for cell in row.cells for value in cell.values]
        for row in table.rows
    )
    return out.getvalue()


def frame(table: Table) -> pl.DataFrame:
    """The same values as in the CSV file, with types: numbers are numbers, an empty field is
    null.
    """
    names = [field for column in table.columns for field in column.fields]
    rows = [[value for cell in row.cells for value in cell.values] for row in table.rows]
    return pl.DataFrame(
        {name: _series([row[index] for row in rows]) for index, name in enumerate(names)}
    )


def parquet(table: Table) -> bytes:
    """The frame as a file."""
    out = io.BytesIO()
    frame(table).write_parquet(out)
    return out.getvalue()


def _series(values: Sequence[Value]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int}:
        return pl.Series(values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(values, dtype=pl.Float64, strict=False)
    return pl.Series([value if value is None else str(value) for value in values], dtype=pl.String)
