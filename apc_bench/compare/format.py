"""A comparison for people and programs: tables for a terminal or as Markdown, and JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from apc_bench.compare.comparison import Comparison
from apc_bench.compare.deltas import CATEGORIES, Delta
from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST
from apc_bench.tables.cells import interval_cell, label_cell, number_cell, p_cell, points_cell
from apc_bench.tables.number_format import percent
from apc_bench.tables.render import markdown as markdown_table
from apc_bench.tables.table import Cell, Column, Note, Row, Table
from apc_bench.wording import aligned, counted


def tables(comparison: Comparison) -> list[Table]:
    """Means, categories, and costs where both sides have them; the definitions stand under the
    first.
    """
    found = []
    means = [
        delta
        for delta in comparison.deltas
        if delta.category is None and not _redundant(comparison, delta)
    ]
    rest = [delta for delta in comparison.deltas if delta.category is not None]
    if means:
        found.append(_means(comparison, means))
    if rest:
        found.append(_categories(comparison, rest, alone=not means))
    if comparison.costs:
        found.append(_costs(comparison))
    return found


def _redundant(comparison: Comparison, delta: Delta) -> bool:
    """The mean over a single category, whose row says more."""
    return delta.over == 1 and any(
        one.category is not None and (one.a, one.b) == (delta.a, delta.b)
        for one in comparison.deltas
    )


def _means(comparison: Comparison, means: Sequence[Delta]) -> Table:
    columns = (
        Column("System", ("system",), numeric=False),
        Column("Metric", ("metric",), numeric=False),
        *(Column(name, (f"{name.lower()}_percent",)) for name in ("A", "B")),
        Column("A − B", ("difference_points",)),
        Column("95 % interval", ("low_points", "high_points")),
        Column("p (Holm)", ("p", "reason")),
        Column("Wins/ties/losses", ("wins", "ties", "losses")),
    )
    rows = [
        Row(
            (
                *_head(comparison, delta),
                *_values(delta),
                interval_cell(delta.low, delta.high),
                p_cell(delta.p, delta.reason),
                _counts(delta),
            ),
            delta.metric,
        )
        for delta in _ordered(comparison, means)
    ]
    return Table("means", "Means over categories", columns, tuple(rows), tuple(_notes(means)))


def _notes(means: Sequence[Delta]) -> Iterator[Note]:
    yield Note(
        "A − B",
        "percentage points; per category the mean over the seeds that both have, then over the"
        " categories that both have, the unit",
    )
    yield Note(
        "95 % interval",
        "t interval over categories; of one category or of printed means alone, over seeds",
    )
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


def _categories(comparison: Comparison, rest: Sequence[Delta], *, alone: bool) -> Table:
    columns = (
        Column("System", ("system",), numeric=False),
        Column("Metric", ("metric",), numeric=False),
        Column("Category", ("category",), numeric=False),
        *(Column(name, (f"{name.lower()}_percent",)) for name in ("A", "B")),
        Column("A − B", ("difference_points",)),
        Column("95 % interval", ("low_points", "high_points")),
        Column("Over", ("basis",), numeric=False),
    )
    rows = []
    for delta in _ordered(comparison, rest):
        basis = (
            f"{delta.over} {delta.basis}"
            if delta.basis and delta.over > 1
            else delta.basis or "one figure a side"
        )
        head = (*_head(comparison, delta), label_cell(delta.category or ""))
        rows.append(
            Row(
                (*head, *_values(delta), interval_cell(delta.low, delta.high), label_cell(basis)),
                delta.metric,
            )
        )
    notes = (
        Note(
            "A − B", "percentage points, the mean over the seeds that both have; 95 % interval: t"
        ),
        Note("One category", "no claim about others can rest on it"),
    )
    return Table("categories", "By category", columns, tuple(rows), notes if alone else ())


def _costs(comparison: Comparison) -> Table:
    columns = (
        Column("System", ("system",), numeric=False),
        Column("Cost", ("cost",), numeric=False),
        *(Column(name, (name.lower(),)) for name in ("A", "B")),
        Column("A / B", ("ratio",)),
    )
    rows = []
    for delta in _ordered(comparison, comparison.costs):
        cost = CATALOGUE[delta.metric]
        ratio = delta.value_a / delta.value_b if delta.value_b else None
        cells = [
            label_cell(comparison.label((delta.a, delta.b))),
            label_cell(f"{cost.label}, {cost.unit}"),
        ]
        cells += [Cell(f"{value:.1f}", (value,)) for value in (delta.value_a, delta.value_b)]
        rows.append(Row((*cells, number_cell(ratio, 2))))
    return Table("costs", "Cost: means over shared trials", columns, tuple(rows), ())


def _ordered(comparison: Comparison, found: Sequence[Delta]) -> list[Delta]:
    return sorted(found, key=lambda delta: comparison.pairs.index((delta.a, delta.b)))


def _head(comparison: Comparison, delta: Delta) -> tuple[Cell, Cell]:
    marked = CATALOGUE[delta.metric].heading + " *" * any(
        metric == delta.metric for metric, _ in comparison.cautions
    )
    return label_cell(comparison.label((delta.a, delta.b))), Cell(marked, (delta.metric,))


def _values(delta: Delta) -> tuple[Cell, Cell, Cell]:
    ours, theirs = (
        Cell(percent(value), (100 * value,)) for value in (delta.value_a, delta.value_b)
    )
    return ours, theirs, points_cell(delta.difference)


def _counts(delta: Delta) -> Cell:
    counts = (delta.wins, delta.ties, delta.losses)
    return Cell("/".join(map(str, counts)) if any(counts) else "–", counts)


def remarks(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(heading, lines) of what stands beside the tables."""
    parts = (
        ("Not compared", list(comparison.reasons)),
        (
            "Definitions that differ, marked *",
            [f"{CATALOGUE[name].label}: {why}" for name, why in comparison.cautions],
        ),
        (
            "Left aside, for nothing here means the same",
            [f"{name}: {why}" for name, why in comparison.apart],
        ),
        ("On one side alone", list(comparison.only)),
        (
            "Why they may differ",
            [f"{kind}: {line}" for kind, line in comparison.why]
            or ["nothing that run.json records differs"],
        ),
    )
    return [(heading, lines) for heading, lines in parts if lines]


def as_text(comparison: Comparison) -> str:
    """For a terminal: aligned columns."""
    lines = [f"A  {comparison.a.name}", f"B  {comparison.b.name}"]
    for table in tables(comparison):
        lines += ["", table.title, *_grid(table)]
    for table in tables(comparison):
        lines += [""] * bool(table.notes) + [f"{note.label}: {note.text}" for note in table.notes]
    for heading, said in remarks(comparison):
        lines += ["", heading, *(f"  {line}" for line in said)]
    return "\n".join(lines)


def _grid(table: Table) -> list[str]:
    texts = [[column.title for column in table.columns]]
    texts += [[cell.text for cell in row.cells] for row in table.rows]
    return aligned(texts, [column.numeric for column in table.columns])


def as_markdown(comparison: Comparison) -> str:
    """For an issue or a paper's appendix."""
    parts = [
        f"A: `{comparison.a.name}`; B: `{comparison.b.name}`\n",
        *(markdown_table(table) for table in tables(comparison)),
    ]
    for heading, lines in remarks(comparison):
        parts.append(f"## {heading}\n\n" + "".join(f"- {line}\n" for line in lines))
    return "\n".join(parts)


def as_object(comparison: Comparison) -> dict[str, Any]:
    """For programs: fractions of 1, costs in seconds and MiB."""
    return {
        "a": _side(comparison, "a"),
        "b": _side(comparison, "b"),
        "exit_code": comparison.exit_code,
        "deltas": [_delta(comparison, delta) for delta in comparison.deltas],
        "costs": [_delta(comparison, delta) for delta in comparison.costs],
        "not_compared": list(comparison.reasons),
        "definitions_differ": [{"metric": name, "why": why} for name, why in comparison.cautions],
        "left_aside": [{"name": name, "why": why} for name, why in comparison.apart],
        "on_one_side": list(comparison.only),
        "why": [{"kind": kind, "what": line} for kind, line in comparison.why],
    }


def _side(comparison: Comparison, name: str) -> dict[str, Any]:
    side = comparison.a if name == "a" else comparison.b
    return {"name": side.name, "kind": side.kind, "dataset": side.dataset}


def _delta(comparison: Comparison, delta: Delta) -> dict[str, Any]:
    return {
        "system": comparison.label((delta.a, delta.b)),
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
        (
            "categories" if delta.category is None or delta.basis == CATEGORIES else "seeds"
        ): delta.over,
        "p_holm": delta.p,
        "no_test_because": delta.reason,
        "wins_ties_losses": (
            [delta.wins, delta.ties, delta.losses] if delta.category is None else None
        ),
    }
