"""Every system minus the baseline (docs/method.md section 5, "Statistics")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apc_bench.metrics.catalogue import CATALOGUE, METRICS
from apc_bench.results.aggregate import Results, System
from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    Difference,
    holm,
    mean,
    paired_difference,
)
from apc_bench.statistics.resampling import RESAMPLES, resampled_interval
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    empty_cell,
    interval_cell,
    label_cell,
    p_cell,
    points_cell,
    system_cells,
    text_column,
)
from apc_bench.tables.number_format import NONE, p_value, points_interval
from apc_bench.tables.table import Cell, Column, Note, Row, Table

_COLUMNS = (
    text_column("Metric"),
    *SYSTEM_COLUMNS,
    Column("Difference", ("difference_points",)),
    Column("95 % interval", ("low_points", "high_points")),
    Column("Resampled", ("resampled_low_points", "resampled_high_points")),
    Column("p", ("p", "reason")),
    Column("p (Holm)", ("p_holm",)),
    Column("Wins/ties/losses", ("wins", "ties", "losses")),
)
_OF_SEVERAL = ("low_points", "wins")
"""Columns, by their first fields, that only a mean over several categories has."""

CATEGORIES_FOR_AN_INTERVAL = 3
"""Of two, whose t quantile is 12.7, an interval says nothing, and may leave what is possible."""

_OF_A_TEST = ("resampled_low_points", "p", "p_holm")
"""Those that need as many categories as a test."""

_TOPICS = (
    about.folds,
    about.data,
    about.test_set,
    about.shots,
    about.image_input,
    about.masks,
    about.definitions(METRICS),
    about.completeness,
    about.computed,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Paired:
    """A system beside the baseline on one metric: category -> figures by shared seed, over the
    categories that are complete for both.
    """

    system: System
    ours: dict[str, list[float]]
    theirs: dict[str, list[float]]

    def difference(self) -> Difference | None:
        """Of the means over seeds, paired by category."""
        ours = {category: mean(values) for category, values in self.ours.items()}
        theirs = {category: mean(values) for category, values in self.theirs.items()}
        return paired_difference(ours, theirs)

    def resampled(self) -> tuple[float, float] | None:
        """The interval by resampling categories and seeds."""
        gains = []
        for category in sorted(self.ours):
            pairs = zip(self.ours[category], self.theirs[category], strict=True)
            gains.append([our - their for our, their in pairs])
        return resampled_interval(gains)


def differences(results: Results) -> Table | None:
    """Every system minus the baseline, in percentage points, paired by category; None without a
    baseline or a second system.
    """
    baseline = results.baseline
    others = [system for system in results.systems if system != baseline]
    if baseline is None or not others:
        return None
    columns = _columns(len(results.categories))
    rows = []
    for metric in results.shown(METRICS):
        pairs = [_pair(results, metric, system, baseline) for system in others]
        rows += _rows(metric, pairs)
    title = f"Differences to {baseline.label}"
    return Table("differences", title, columns, tuple(rows), _notes(results, baseline))


def _columns(categories: int) -> tuple[Column, ...]:
    """All of them, of which those are shown that so many categories can fill."""
    hidden: tuple[str, ...] = ()
    if categories < CATEGORIES_FOR_A_TEST:
        hidden = _OF_A_TEST if categories > 1 else (*_OF_SEVERAL, *_OF_A_TEST)
    if categories < CATEGORIES_FOR_AN_INTERVAL:
        hidden = (*hidden, "low_points")
    return tuple(replace(column, shown=column.fields[0] not in hidden) for column in _COLUMNS)


def _pair(results: Results, metric: str, system: System, baseline: System) -> _Paired:
    seeds = sorted(set(system.seeds) & set(baseline.seeds))
    shared: set[str] = set()
    if seeds:
        shared = {*results.complete(system, metric)} & {*results.complete(baseline, metric)}
    pair = _Paired(system, {}, {})
    for figures, one in ((pair.ours, system), (pair.theirs, baseline)):
        for category in sorted(shared):
            by_seed = results.by_seed(one, category, metric)
            figures[category] = [by_seed[seed] for seed in seeds]
    return pair


def _rows(metric: str, pairs: Sequence[_Paired]) -> list[Row]:
    """One metric's rows: a family of tests."""
    found = [pair.difference() for pair in pairs]
    corrected = holm([difference.p if difference else None for difference in found])
    rows = []
    for pair, difference, p_holm in zip(pairs, found, corrected, strict=True):
        head = (label_cell(CATALOGUE[metric].heading), *system_cells(pair.system))
        cells = _no_cells()
        if difference is not None:
            cells = _cells(difference, pair.resampled(), p_holm)
        rows.append(Row((*head, *cells), metric))
    return rows


def _cells(
    difference: Difference, resampled: tuple[float, float] | None, p_holm: float | None
) -> tuple[Cell, ...]:
    counts = (difference.wins, difference.ties, difference.losses)
    return (
        points_cell(difference.mean),
        _interval_cell(difference),
        interval_cell(*(resampled or (None, None))),
        p_cell(difference.p, difference.reason),
        Cell(p_value(p_holm), (p_holm,)),
        Cell("/".join(str(count) for count in counts), counts),
    )


def _interval_cell(difference: Difference) -> Cell:
    """Printed within the differences that are possible; its values are the t interval's."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return empty_cell(2)
    return replace(interval_cell(low, high), text=points_interval(max(-1.0, low), min(1.0, high)))


def _no_cells() -> tuple[Cell, ...]:
    reason = p_cell(None, "no category complete for both")
    return (empty_cell(), empty_cell(2), empty_cell(2), reason, empty_cell(), Cell(NONE, (0, 0, 0)))


def _notes(results: Results, baseline: System) -> tuple[Note, ...]:
    _, many = results.seed_words
    difference = (
        f"system minus {baseline.label}, in percentage points; per category the mean over {many}"
        " first, then over categories, which are the unit; –: no category is complete for both"
    )
    resampled = (
        f"95 % interval by hierarchical resampling: categories, then {many}, {RESAMPLES} times; its"
        f" percentiles are widened for few categories; from {CATEGORIES_FOR_A_TEST} categories on"
    )
    test = (
        f"Wilcoxon signed-rank, two-sided, from {CATEGORIES_FOR_A_TEST} categories on; Holm:"
        " corrected for the systems compared on one metric"
    )
    interval = Note(
        "95 % interval",
        f"t interval over categories, from {CATEGORIES_FOR_AN_INTERVAL} on, printed within ±100",
    )
    tests = (Note("Resampled", resampled), Note("p", test))
    number = len(results.categories)
    if number == 1:
        text = f"its spread over {many} stands in the tables above; no claim about other categories"
        more: tuple[Note, ...] = (Note("One category", text),)
    elif number < CATEGORIES_FOR_AN_INTERVAL:
        text = (
            f"{number} categories: too few for an interval, which takes"
            f" {CATEGORIES_FOR_AN_INTERVAL}, and for a test, which takes {CATEGORIES_FOR_A_TEST}"
        )
        more = (Note("Too little for a claim", text),)
    elif number < CATEGORIES_FOR_A_TEST:
        text = (
            f"{number} categories: intervals are wide, and no test is made below"
            f" {CATEGORIES_FOR_A_TEST}"
        )
        more = (interval, Note("Too little for a claim", text))
    else:
        more = (interval, *tests)
    return (Note("Difference", difference), *more, *about.notes(results, _TOPICS))
