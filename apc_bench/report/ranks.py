"""Three or more systems ranked over categories: the table, and the critical-difference diagram (the
statistics: ranking.py).
"""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.report.figure_style import COLUMN, WITH_PNG, style
from apc_bench.report.parallel import Drawing
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST, mean
from apc_bench.statistics.ranking import LEVEL, SYSTEMS_FOR_RANKS, AverageRanks, rank
from apc_bench.tables import footnotes as about
from apc_bench.tables.accuracy import system_cells
from apc_bench.tables.table import Column, Note, Row, Table, number_cell

NAME = "ranks"
DRAWN_MAX = 12
"""Systems that a diagram has room for: the best."""


def ranked(results: Results, metric: str) -> tuple[list[System], AverageRanks] | None:
    """The systems that have the metric in some category for every seed, and their ranking; None for
    fewer than three, or one category.
    """
    systems = [system for system in results.systems if results.complete(system, metric)]
    if len(systems) < SYSTEMS_FOR_RANKS or len(results.categories) < 2:
        return None
    seeds = sorted(set.intersection(*(set(system.seeds) for system in systems)))
    if not seeds:
        return None
    figures = [
        {
            category: mean([results.by_seed(system, category, metric)[seed] for seed in seeds])
            for category in results.complete(system, metric)
        }
        for system in systems
    ]
    found = rank(figures)
    return (systems, found) if found else None


def ranks(results: Results) -> Table | None:
    """A row a system, its average rank by image and by pixel AUROC; None for fewer than three
    systems or a single category.
    """
    found = _by_metric(results)
    if not found:
        return None
    columns = [Column("System", ("system",), numeric=False), Column("Shots", ("shots",))]
    columns += [
        Column(f"Average rank, {CATALOGUE[metric].heading}", (f"{metric}_rank",))
        for metric in found
    ]
    places = {
        metric: dict(zip(systems, ranking.ranks, strict=True))
        for metric, (systems, ranking) in found.items()
    }
    rows = []
    for system in results.systems:
        values = [places[metric].get(system) for metric in found]
        rows.append(
            Row(
                (
                    *system_cells(system),
                    *(
                        number_cell(value, "" if value is None else f"{value:.2f}")
                        for value in values
                    ),
                )
            )
        )
    notes = (
        *_notes(found),
        *about.notes(results, (about.data, about.test_set, about.completeness, about.computed)),
    )
    return Table(NAME, "Average ranks over categories", tuple(columns), tuple(rows), notes)


def _by_metric(results: Results) -> dict[str, tuple[list[System], AverageRanks]]:
    return {metric: one for metric in AUROCS if (one := ranked(results, metric))}


def _notes(found: dict[str, tuple[list[System], AverageRanks]]) -> Iterator[Note]:
    yield Note(
        "Rank",
        "in each category 1 is the best mean over shared seeds, equal ones share a rank; then the"
        " mean over the categories that all have",
    )
    for metric, (systems, ranking) in found.items():
        yield Note(
            CATALOGUE[metric].heading,
            f"{ranking.categories} categories; {_claim(systems, ranking)}",
        )
    yield Note(
        "Test",
        "Friedman: does any system differ; pairs by Wilcoxon signed-rank with Holm's correction"
        f" over all pairs, from {CATEGORIES_FOR_A_TEST} categories on",
    )


def _claim(systems: Sequence[System], ranking: AverageRanks) -> str:
    if ranking.groups is None:
        return f"too few for a claim (a test needs {CATEGORIES_FOR_A_TEST})"
    friedman = ranking.reason if ranking.friedman is None else f"Friedman p {_p(ranking.friedman)}"
    apart = [
        f"{systems[one].label} and {systems[other].label} (p {_p(p)})"
        for (one, other), p in ranking.pairs.items()
        if p is not None and p < LEVEL
    ]
    return f"{friedman}; " + (
        f"differ: {', '.join(apart)}" if apart else "no two systems can be told apart"
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def ranks_drawing(results: Results, folder: Path) -> Drawing:
    """`ranks`: a critical-difference diagram for image AUROC above one for pixel AUROC."""
    return Drawing(_ranks, folder, NAME, WITH_PNG)


def _ranks(results: Results, run: RunReader) -> Figure | None:
    return ranks_figure(results)


def ranks_figure(results: Results) -> Figure | None:
    """Systems on an axis of average ranks, best left; a bar joins those that cannot be told apart.
    None where the table is None.
    """
    found = _by_metric(results)
    if not found:
        return None
    heights = [
        0.55 + 0.17 * min(len(systems), DRAWN_MAX) + 0.1 * len(ranking.groups or ())
        for systems, ranking in found.values()
    ]
    with style():
        figure = Figure(figsize=(COLUMN, sum(heights)), layout="constrained")
        axes = figure.subplots(len(found), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (metric, (systems, ranking)) in zip(axes, found.items(), strict=True):
            _draw(axis, CATALOGUE[metric].heading, systems, ranking)
    return figure


def _draw(axis: Axes, title: str, systems: Sequence[System], ranking: AverageRanks) -> None:
    order = sorted(range(len(systems)), key=lambda index: (ranking.ranks[index], index))[:DRAWN_MAX]
    last = len(systems)
    groups = [group for group in ranking.groups or () if len(set(group) & set(order)) > 1]
    depth = 0.35 + 0.5 * len(groups)
    for level, index in enumerate(order):
        place, below = ranking.ranks[index], depth + 0.6 + level
        axis.plot(
            [place, place, last],
            [0, below, below],
            color="black",
            linewidth=0.7,
            solid_joinstyle="miter",
            clip_on=False,
        )
        label = textwrap.shorten(systems[index].label, 40, placeholder="…")
        said = f"{place:.2f}  {label}"
        axis.annotate(
            said,
            (last, below),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    for row, group in enumerate(groups):
        ends = [ranking.ranks[index] for index in group if index in order]
        axis.plot(
            [min(ends) - 0.04, max(ends) + 0.04],
            [0.35 + 0.5 * row] * 2,
            color="black",
            linewidth=2.6,
            solid_capstyle="butt",
            clip_on=False,
        )
    without = (
        ""
        if ranking.groups is not None
        else f": {ranking.categories} categories, too few to tell apart"
    )
    axis.set_title(f"Average rank, {title}{without}", loc="left")
    axis.set_xlim(1, last)
    axis.set_ylim(depth + len(order) + 0.2, 0)
    axis.set_xticks(range(1, last + 1))
    axis.xaxis.tick_top()
    axis.yaxis.set_visible(False)
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.spines["top"].set_visible(True)
