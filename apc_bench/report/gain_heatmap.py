"""The gain over the baseline as a heat map of categories and systems: the table in gains.py."""

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.report.figure_style import COLUMN, WITH_PNG, ReportFigure, style
from apc_bench.report.parallel import FigureTask, of_results
from apc_bench.results.aggregate import Results, System
from apc_bench.tables.gains import Gain, gain, largest_gain
from apc_bench.tables.number_format import signed

WORSE, EVEN, BETTER = "#E69F00", "#FFFFFF", "#56B4E9"
"""Okabe and Ito's orange and sky blue, on both of which black can be read."""

SCALE = LinearSegmentedColormap.from_list("gain", (WORSE, EVEN, BETTER))
NUMBERS_MAX = 5
"""Systems up to which a cell has room for its number."""


def heatmap_task(folder: Path) -> FigureTask:
    """`gains`: image AUROC beside pixel AUROC."""
    return FigureTask(partial(of_results, heatmap_figure), folder, "gains", WITH_PNG)


def heatmap_figure(results: Results) -> Figure | None:
    """Rows are categories, columns systems; None without a baseline, or for a single number, which
    the table says.
    """
    systems = results.others
    if len(systems) * len(results.categories) < 2:
        return None
    rows = [textwrap.shorten(name, 24, placeholder="…") for name in results.categories]
    columns = [textwrap.fill(system.label, 20) for system in systems]
    longest = max(len(line) for label in columns for line in label.splitlines())
    height = 1.0 + 0.17 * len(rows) + 0.055 * longest
    with style():
        figure = ReportFigure(figsize=(COLUMN, height), layout="constrained")
        metrics = results.shown(AUROCS)
        axes = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0])
        for axis, metric in zip(axes, metrics, strict=True):
            largest = largest_gain(results, metric)
            axis.set_title(f"{CATALOGUE[metric].heading}, points")
            _draw_cells(axis, _gains(results, systems, metric), largest)
            _draw_scale(figure, axis, largest)
            axis.set_xticks(range(len(systems)), columns, rotation=90)
        axes[0].set_yticks(range(len(rows)), rows)
    return figure


def _gains(results: Results, systems: Sequence[System], metric: str) -> list[list[Gain | None]]:
    """Categories × systems; None where no seed has both."""
    return [
        [gain(results, system, category, metric) for system in systems]
        for category in results.categories
    ]


def _draw_cells(axis: Axes, gains: Sequence[Sequence[Gain | None]], largest: float) -> None:
    """A colour a cell, in full at ± `largest` and pale within the spread, and its number where
    there is room.
    """
    heat = [[np.nan if one is None else one.heat(largest) for one in row] for row in gains]
    axis.imshow(heat, cmap=SCALE, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    for row, line in enumerate(gains):
        for column, one in enumerate(line):
            if one is None or len(line) <= NUMBERS_MAX:
                text = "–" if one is None else signed(one.points, 1)
                axis.text(column, row, text, ha="center", va="center", fontsize=6)


def _draw_scale(figure: Figure, axis: Axes, largest: float) -> None:
    colours = ScalarMappable(Normalize(-largest, largest), SCALE)
    bar = figure.colorbar(colours, ax=axis, location="bottom", aspect=16, pad=0.03)
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_linewidth(0.4)
