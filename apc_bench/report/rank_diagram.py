"""The critical-difference diagram of three or more systems by average rank over categories: a bar
joins those that cannot be told apart (statistics/ranking.py).
"""

import textwrap
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.report.figure_style import COLUMN, WITH_PNG, ReportFigure, style
from apc_bench.report.parallel import FigureTask, of_results
from apc_bench.results.aggregate import Results, System
from apc_bench.tables.ranks import NAME, RankedSystems, ranked_by_metric

DRAWN_MAX = 12
"""Systems that a diagram has room for: the best."""

BAR_HEIGHT = 0.5
"""Of a bar that joins systems, in the height of a system's line, as all lengths below."""


def rank_diagram_task(folder: Path) -> FigureTask:
    """`ranks`: a diagram for image AUROC above one for pixel AUROC."""
    return FigureTask(partial(of_results, rank_diagram), folder, NAME, WITH_PNG)


def rank_diagram(results: Results) -> Figure | None:
    """Systems on an axis of average ranks, best left; a bar joins those that cannot be told apart.
    None where there is no table of ranks.
    """
    by_metric = ranked_by_metric(results)
    if not by_metric:
        return None
    heights = [_height(ranked) for ranked in by_metric.values()]
    with style():
        figure = ReportFigure(figsize=(COLUMN, sum(heights)), layout="constrained")
        axes = figure.subplots(len(by_metric), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (metric, ranked) in zip(axes, by_metric.items(), strict=True):
            title = f"Average rank, {CATALOGUE[metric].heading}"
            if ranked.ranking.groups is None:
                title += f": {ranked.ranking.categories} categories, too few to tell apart"
            axis.set_title(title, loc="left")
            _draw(axis, ranked)
    return figure


def _height(ranked: RankedSystems) -> float:
    """Of a diagram, in inches."""
    bars = len(ranked.ranking.groups or ())
    return 0.55 + 0.17 * min(len(ranked.systems), DRAWN_MAX) + 0.1 * bars


def _draw(axis: Axes, ranked: RankedSystems) -> None:
    systems, ranking = ranked.systems, ranked.ranking
    by_rank = sorted(range(len(systems)), key=lambda index: (ranking.ranks[index], index))
    drawn = by_rank[:DRAWN_MAX]
    bars = [group for group in ranking.groups or () if len(set(group) & set(drawn)) > 1]
    depth = 0.35 + BAR_HEIGHT * len(bars)
    for row, index in enumerate(drawn):
        _draw_system(axis, systems[index], ranking.ranks[index], depth + 0.6 + row, len(systems))
    for row, group in enumerate(bars):
        ranks = [ranking.ranks[index] for index in group if index in drawn]
        axis.plot(
            [min(ranks) - 0.04, max(ranks) + 0.04],
            [0.35 + BAR_HEIGHT * row] * 2,
            color="black",
            linewidth=2.6,
            solid_capstyle="butt",
            clip_on=False,
        )
    axis.set_xlim(1, len(systems))
    axis.set_ylim(depth + len(drawn) + 0.2, 0)
    axis.set_xticks(range(1, len(systems) + 1))
    axis.xaxis.tick_top()
    axis.yaxis.set_visible(False)
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.spines["top"].set_visible(True)


def _draw_system(axis: Axes, system: System, rank: float, below: float, last: int) -> None:
    """A line from the axis at the rank down and to the right, to rank and name."""
    axis.plot(
        [rank, rank, last],
        [0, below, below],
        color="black",
        linewidth=0.7,
        solid_joinstyle="miter",
        clip_on=False,
    )
    axis.annotate(
        f"{rank:.2f}  {textwrap.shorten(system.label, 40, placeholder='…')}",
        (last, below),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
    )
