"""A table as a value: what every format (Markdown, CSV, LaTeX, HTML, terminal) is made of."""

from dataclasses import dataclass, replace

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and the names of the values that a cell of it puts into the CSV
    file. One that is not `shown`, since a run can say nothing in it, stands in the files for
    programs alone (CSV and Parquet), whose columns are the same for every run.
    """

    title: str
    fields: tuple[str, ...]
    numeric: bool = True
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and the unrounded values behind it, one for each field of the column.
    `best` is set in bold; `heat`, from −1 (worse than the baseline) to 1 (better), is a page's
    background colour.
    """

    text: str
    values: tuple[Value, ...]
    best: bool = False
    heat: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, one a column. Rows of another `block` are set apart by a rule."""

    cells: tuple[Cell, ...]
    block: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One definition under a table."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its definitions. `name` is its file name without ending."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]

    @property
    def for_readers(self) -> "Table":
        """The table with the columns that are shown."""
        places = [place for place, column in enumerate(self.columns) if column.shown]
        columns = tuple(self.columns[place] for place in places)
        rows = tuple(
            replace(row, cells=tuple(row.cells[place] for place in places)) for row in self.rows
        )
        return replace(self, columns=columns, rows=rows)
