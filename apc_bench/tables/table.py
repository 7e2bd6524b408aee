"""A table as a value: what every format (Markdown, CSV, LaTeX, HTML, terminal) is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from apc_bench.results.aggregate import Mean

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and the names of the values that a cell of it puts into the CSV
    file.
    """

    title: str
    fields: tuple[str, ...]
    numeric: bool = True


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


def label_cell(text: str, value: Value = None) -> Cell:
    """A cell with one value, by default the text itself."""
    return Cell(text, (text if value is None else value,))


def number_cell(value: float | None, text: str) -> Cell:
    """A cell with one number, shown as `text`; `–` where there is none."""
    return Cell("–" if value is None else text, (value,))


def mean_fields(name: str) -> tuple[str, ...]:
    """The CSV fields of a `percent_cell`."""
    return f"{name}_percent", f"{name}_sd", f"{name}_of"


def percent_cell(mean: Mean | None, *, of: int, best: bool = False, per_seed: bool = False) -> Cell:
    """`97.21 ± 0.34` in percent, with `(3/4)` where only 3 of 4 categories (`per_seed`: seeds) went
    in. Values: mean, sd, how many went in.
    """
    if mean is None:
        return Cell("–", (None, None, 0))
    count = mean.seeds if per_seed else len(mean.categories)
    text = (
        percent(mean.value)
        + ("" if mean.sd is None else f" ± {percent(mean.sd)}")
        + ("" if count == of else f" ({count}/{of})")
    )
    return Cell(text, (100 * mean.value, None if mean.sd is None else 100 * mean.sd, count), best)


def percent(fraction: float) -> str:
    """0.9721 -> 97.21."""
    return f"{100 * fraction:.2f}"


def best_of(means: Sequence[Mean | None]) -> set[int]:
    """Positions of the largest value as it is shown; none where there is nothing to compare."""
    shown = {index: percent(mean.value) for index, mean in enumerate(means) if mean is not None}
    if len(shown) < 2:
        return set()
    largest = max(shown.values(), key=float)
    return {index for index, text in shown.items() if text == largest}
