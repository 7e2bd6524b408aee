"""Cells and columns that several tables have: what a reader sees, and the values behind it."""

from collections.abc import Sequence

from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.results.aggregate import Mean, Results, System
from apc_bench.tables.number_format import NONE, p_value, percent, points, points_interval
from apc_bench.tables.table import Cell, Column, Value


def text_column(title: str, field: str = "") -> Column:
    """A column of words; `field`: of the CSV file, by default the title in small letters."""
    return Column(title, (field or title.lower(),), numeric=False)


def mean_column(title: str, field: str, *, shown: bool = True) -> Column:
    """The column of a `percent_cell`: its mean, standard deviation, and how many went in."""
    return Column(title, (f"{field}_percent", f"{field}_sd", f"{field}_of"), shown=shown)


def metric_columns(results: Results, metrics: Sequence[str]) -> list[Column]:
    """A `mean_column` a metric, shown where there is anything to show."""
    shown = results.shown(metrics)
    return [
        mean_column(CATALOGUE[metric].heading, metric, shown=metric in shown) for metric in metrics
    ]


SYSTEM_COLUMNS = (text_column("System"), Column("Shots", ("shots",)))
"""The columns of `system_cells`."""


def system_cells(system: System) -> tuple[Cell, Cell]:
    """Title and number of shots of a system."""
    return label_cell(system.title), Cell(system.shots_text, (system.shots,))


def label_cell(text: str, value: Value = None) -> Cell:
    """A cell with one value, by default the text itself."""
    return Cell(text, (text if value is None else value,))


def empty_cell(fields: int = 1) -> Cell:
    """A dash, for a cell of so many values that there are none of."""
    return Cell(NONE, (None,) * fields)


def number_cell(value: float | None, decimals: int) -> Cell:
    """A cell with one number; a dash where there is none."""
    return empty_cell() if value is None else Cell(f"{value:.{decimals}f}", (value,))


def percent_cell(mean: Mean | None, *, of: int, best: bool = False, per_seed: bool = False) -> Cell:
    """`97.21 ± 0.34` in percent, with `(3/4)` where only 3 of 4 categories (`per_seed`: seeds) went
    in. Values: mean, sd, how many went in.
    """
    if mean is None:
        return Cell(NONE, (None, None, 0))
    count = mean.seeds if per_seed else len(mean.categories)
    text = percent(mean.value)
    if mean.sd is not None:
        text += f" ± {percent(mean.sd)}"
    if count != of:
        text += f" ({count}/{of})"
    spread = None if mean.sd is None else 100 * mean.sd
    return Cell(text, (100 * mean.value, spread, count), best)


def points_cell(difference: float, decimals: int = 2) -> Cell:
    """A difference of fractions, in percentage points."""
    return Cell(points(difference, decimals), (100 * difference,))


def interval_cell(low: float | None, high: float | None, decimals: int = 2) -> Cell:
    """An interval of a difference of fractions, in percentage points; a dash where there is
    none.
    """
    if low is None or high is None:
        return empty_cell(2)
    return Cell(points_interval(low, high, decimals), (100 * low, 100 * high))


def p_cell(p: float | None, reason: str | None) -> Cell:
    """A p value, or the reason why no test was made."""
    return Cell(reason or p_value(p), (p, reason))


def best_of(means: Sequence[Mean | None]) -> set[int]:
    """Positions of the largest value as it is shown; none where there is nothing to compare."""
    shown = {index: percent(mean.value) for index, mean in enumerate(means) if mean is not None}
    if len(shown) < 2:
        return set()
    largest = max(shown.values(), key=float)
    return {index for index, text in shown.items() if text == largest}


def count_columns(results: Results) -> tuple[Column, Column]:
    """The columns of `count_cells`."""
    return (
        Column(f"Categories × {results.seed_words[1]}", ("categories", "seeds")),
        Column("Missing", ("missing_trials", "trials")),
    )


def count_cells(results: Results, system: System) -> tuple[Cell, Cell]:
    """How many trials a system's figures rest on, and how many of them are missing."""
    categories, seeds = len(results.categories), len(system.seeds)
    missing, trials = len(results.missing(system)), categories * seeds
    text = f"{missing} of {trials}" if missing else "0"
    return Cell(f"{categories} × {seeds}", (categories, seeds)), Cell(text, (missing, trials))
