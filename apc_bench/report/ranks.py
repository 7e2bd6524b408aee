"""The critical-difference diagram: three or more systems on an axis of average ranks (the table:
tables/ranks.py).
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.report.figure_style import COLUMN, WITH_PNG, style
from apc_bench.report.parallel import Drawing
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.ranking import AverageRanks
from apc_bench.tables.ranks import NAME, ranked_by_metric

DRAWN_MAX = 12
"""Systems that a diagram has room for: the best."""


def ranks_drawing(results: Results, folder: Path) -> Drawing:
    """`ranks`: a critical-difference diagram for image AUROC above one for pixel AUROC."""
    return Drawing(_ranks, folder, NAME, WITH_PNG)


def _ranks(results: Results, run: RunReader) -> Figure | None:
    return ranks_figure(results)


def ranks_figure(results: Results) -> Figure | None:
    """Systems on an axis of average ranks, best left; a bar joins those that cannot be told apart.
    None where the table is None.
    """
    found = ranked_by_metric(results)
    if not found:
        return None
    rankings = [(one.systems, one.ranking) for one in found.values()]
    heights = [
        0.55 + 0.17 * min(len(systems), DRAWN_MAX) + 0.1 * len(ranking.groups or ())
        for systems, ranking in rankings
    ]
    with style():
        figure = Figure(figsize=(COLUMN, sum(heights)), layout="constrained")
        axes = figure.subplots(len(found), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, metric, (systems, ranking) in zip(axes, found, rankings, strict=True):
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
