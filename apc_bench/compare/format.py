"""A comparison for people and programs: tables for a terminal or as Markdown, and JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from apc_bench.compare.comparison import Comparison
from apc_bench.compare.deltas import CATEGORIES, Delta
from apc_bench.compare.record import Side
from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.settings.protocols import Holdout
from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST
from apc_bench.tables.cells import (
    interval_cell,
    label_cell,
    number_cell,
    p_cell,
    points_cell,
    text_column,
)
from apc_bench.tables.number_format import percent
from apc_bench.tables.render import markdown as markdown_table
from apc_bench.tables.table import Cell, Column, Note, Row, Table
from apc_bench.wording import aligned, counted


def tables(comparison: Comparison) -> list[Table]:
    """Means, categories, and costs where both sides have them; the definitions stand under the
    first.
    """
    means, single = [], []
    for delta in _by_pair(comparison, comparison.deltas):
        if delta.category is not None:
            single.append(delta)
        elif not _redundant(comparison, delta):
            means.append(delta)
    made = []
    if means:
        made.append(_means(comparison, means))
    if single:
        made.append(_categories(comparison, single, alone=not means))
    if comparison.costs:
        made.append(_costs(comparison))
    return made


def _by_pair(comparison: Comparison, deltas: Sequence[Delta]) -> list[Delta]:
    """In the order of the pairs of systems."""
    return sorted(deltas, key=lambda delta: comparison.pairs.index(delta.pair))


def _redundant(comparison: Comparison, mean: Delta) -> bool:
    """The mean over a single category, whose row says more."""
    with_categories = {delta.pair for delta in comparison.deltas if delta.category is not None}
    return mean.over == 1 and mean.pair in with_categories


VALUE_COLUMNS = (
    Column("A", ("a_percent",)),
    Column("B", ("b_percent",)),
    Column("A − B", ("difference_points",)),
    Column("95 % interval", ("low_points", "high_points")),
)
"""The columns of `_values`."""


def _means(comparison: Comparison, means: Sequence[Delta]) -> Table:
    columns = (
        text_column("System"),
        text_column("Metric"),
        *VALUE_COLUMNS,
        Column("p (Holm)", ("p", "reason")),
        Column("Wins/ties/losses", ("wins", "ties", "losses")),
    )
    rows = []
    for delta in means:
        test = (p_cell(delta.p, delta.reason), _counts(delta))
        rows.append(Row((*_head(comparison, delta), *_values(delta), *test), delta.metric))
    return Table(
        "means", "Means over categories", columns, tuple(rows), tuple(_notes(comparison, means))
    )


def _folds(comparison: Comparison) -> Iterator[Note]:
    """What a seed is where a side was cross-fitted."""
    if any(side.is_run and side.protocol != Holdout.name for side in (comparison.a, comparison.b)):
        yield Note("Seeds", "folds, of a run that was cross-fitted")


def _notes(comparison: Comparison, means: Sequence[Delta]) -> Iterator[Note]:
    yield Note(
        "A − B",
        "percentage points; per category the mean over the seeds that both have, then over the"
        " categories that both have, the unit",
    )
    yield Note(
        "95 % interval",
        "t interval over categories; of one category or of printed means alone, over seeds",
    )
    yield from _folds(comparison)
    yield Note(
        "p",
        f"Wilcoxon signed-rank over categories, two-sided, from {CATEGORIES_FOR_A_TEST} on; Holm:"
        " corrected for the systems compared on a metric",
    )
    if len({delta.over for delta in means}) == 1 and means[0].over < CATEGORIES_FOR_A_TEST:
        yield Note(
            "Too little for a claim",
            counted(means[0].over, "category", "categories"),
        )


def _categories(comparison: Comparison, deltas: Sequence[Delta], *, alone: bool) -> Table:
    """`alone`: no table of means, with its notes, stands before it."""
    columns = (
        text_column("System"),
        text_column("Metric"),
        text_column("Category"),
        *VALUE_COLUMNS,
        text_column("Over", "basis"),
    )
    rows = []
    for delta in deltas:
        category, basis = label_cell(delta.category or ""), label_cell(_basis(delta))
        cells = (*_head(comparison, delta), category, *_values(delta), basis)
        rows.append(Row(cells, delta.metric))
    notes = (
        Note(
            "A − B", "percentage points, the mean over the seeds that both have; 95 % interval: t"
        ),
        Note("One category", "no claim about others can rest on it"),
        *_folds(comparison),
    )
    return Table("categories", "By category", columns, tuple(rows), notes if alone else ())


def _basis(delta: Delta) -> str:
    """What an interval in a category is over: `3 paired seeds`."""
    if not delta.basis:
        return "one figure a side"
    return f"{delta.over} {delta.basis}" if delta.over > 1 else delta.basis


def _costs(comparison: Comparison) -> Table:
    columns = (
        text_column("System"),
        text_column("Cost"),
        Column("A", ("a",)),
        Column("B", ("b",)),
        Column("A / B", ("ratio",)),
    )
    rows = []
    for delta in _by_pair(comparison, comparison.costs):
        cost = CATALOGUE[delta.metric]
        ratio = delta.value_a / delta.value_b if delta.value_b else None
        cells = (
            label_cell(comparison.label(delta.pair)),
            label_cell(f"{cost.label}, {cost.unit}"),
            number_cell(delta.value_a, 1),
            number_cell(delta.value_b, 1),
            number_cell(ratio, 2),
        )
        rows.append(Row(cells))
    return Table("costs", "Cost: means over shared trials", columns, tuple(rows), ())


def _head(comparison: Comparison, delta: Delta) -> tuple[Cell, Cell]:
    """System and metric, the metric marked where its definitions differ."""
    heading = CATALOGUE[delta.metric].heading
    if delta.metric in dict(comparison.cautions):
        heading += " *"
    return label_cell(comparison.label(delta.pair)), Cell(heading, (delta.metric,))


def _values(delta: Delta) -> tuple[Cell, Cell, Cell, Cell]:
    return (
        _percent_cell(delta.value_a),
        _percent_cell(delta.value_b),
        points_cell(delta.difference),
        interval_cell(delta.low, delta.high),
    )


def _percent_cell(fraction: float) -> Cell:
    return Cell(percent(fraction), (100 * fraction,))


def _counts(delta: Delta) -> Cell:
    counts = (delta.wins, delta.ties, delta.losses)
    return Cell("/".join(map(str, counts)) if any(counts) else "–", counts)


def remarks(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(heading, lines) of what stands beside the tables."""
    definitions = []
    for metric, difference in comparison.cautions:
        definitions.append(f"{CATALOGUE[metric].label}: {difference}")
    parts = (
        ("Not compared", list(comparison.reasons)),
        ("Definitions that differ, marked *", definitions),
        ("Left aside, for nothing here means the same", _joined(comparison.apart)),
        ("On one side alone", list(comparison.only)),
        ("Why they may differ", _joined(comparison.why) or _nothing_differs(comparison)),
    )
    return [(heading, lines) for heading, lines in parts if lines]


def _nothing_differs(comparison: Comparison) -> list[str]:
    """Said of two runs alone, of which all was compared."""
    runs = comparison.a.is_run and comparison.b.is_run
    whole = comparison.deltas and not comparison.only
    return ["nothing that run.json records differs"] if runs and whole else []


def _joined(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """`name: what is said of it`."""
    return [f"{name}: {text}" for name, text in pairs]


def as_text(comparison: Comparison) -> str:
    """For a terminal: aligned columns."""
    lines = [f"A  {comparison.a.name}", f"B  {comparison.b.name}"]
    definitions = []
    for table in tables(comparison):
        lines += ["", table.title, *_grid(table)]
        if table.notes:
            definitions += ["", *_joined([(note.label, note.text) for note in table.notes])]
    lines += definitions
    for heading, remarked in remarks(comparison):
        lines += ["", heading]
        lines += [f"  {line}" for line in remarked]
    return "\n".join(lines)


def _grid(table: Table) -> list[str]:
    texts = [[column.title for column in table.columns]]
    texts += [[cell.text for cell in row.cells] for row in table.rows]
    return aligned(texts, [column.numeric for column in table.columns])


def as_markdown(comparison: Comparison) -> str:
    """For an issue or a paper's appendix."""
    parts = [f"A: `{comparison.a.name}`; B: `{comparison.b.name}`\n"]
    parts += map(markdown_table, tables(comparison))
    for heading, lines in remarks(comparison):
        items = "".join(f"- {line}\n" for line in lines)
        parts.append(f"## {heading}\n\n{items}")
    return "\n".join(parts)


def as_object(comparison: Comparison) -> dict[str, Any]:
    """For programs: fractions of 1, costs in seconds and MiB."""
    return {
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "exit_code": comparison.exit_code,
        "deltas": [_delta(comparison, delta) for delta in comparison.deltas],
        "costs": [_delta(comparison, delta) for delta in comparison.costs],
        "not_compared": list(comparison.reasons),
        "definitions_differ": _named(("metric", "why"), comparison.cautions),
        "left_aside": _named(("name", "why"), comparison.apart),
        "on_one_side": list(comparison.only),
        "why": _named(("kind", "what"), comparison.why),
    }


def _named(names: tuple[str, str], pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Pairs as objects with these two names."""
    return [dict(zip(names, pair, strict=True)) for pair in pairs]


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "kind": side.kind, "dataset": side.dataset}


def _delta(comparison: Comparison, delta: Delta) -> dict[str, Any]:
    over_categories = delta.category is None or delta.basis == CATEGORIES
    counts = None
    if delta.category is None:
        counts = [delta.wins, delta.ties, delta.losses]
    return {
        "system": comparison.label(delta.pair),
        "method_a": delta.a[0],
        "method_b": delta.b[0],
        "shots": delta.a[1],
        "metric": delta.metric,
        "category": delta.category,
        "a": delta.value_a,
        "b": delta.value_b,
        "difference": delta.difference,
        "low": delta.low,
        "high": delta.high,
        "interval_over": delta.basis or None,
        "categories" if over_categories else "seeds": delta.over,
        "p_holm": delta.p,
        "no_test_because": delta.reason,
        "wins_ties_losses": counts,
    }
