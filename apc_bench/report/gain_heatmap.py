"""The gain over the baseline by category and system, as a heat map: the figure of the table in
gains.py.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.report.figure_style import COLUMN, WITH_PNG, style
from apc_bench.report.parallel import Drawing
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.gains import gain, largest_gain
from apc_bench.tables.number_format import signed

WORSE, EVEN, BETTER = "#E69F00", "#FFFFFF", "#56B4E9"
"""Okabe and Ito's orange and sky blue, on both of which black can be read."""

SCALE = LinearSegmentedColormap.from_list("gain", (WORSE, EVEN, BETTER))
NUMBERS_MAX = 5
"""Systems up to which a cell has room for its number."""


def heat_drawing(results: Results, folder: Path) -> Drawing:
    """`gains`: image AUROC beside pixel AUROC."""
    return Drawing(_heat, folder, "gains", WITH_PNG)


def _heat(results: Results, run: RunReader) -> Figure | None:
    return heat_figure(results)


def heat_figure(results: Results) -> Figure | None:
    """Rows are categories, columns systems; None without a baseline or a second system."""
    systems = results.others
    if not systems:
        return None
    labels = [textwrap.fill(system.label, 20) for system in systems]
    longest = max(len(line) for label in labels for line in label.splitlines())
    with style():
        figure = Figure(
            figsize=(COLUMN, 1.0 + 0.17 * len(results.categories) + 0.055 * longest),
            layout="constrained",
        )
        axes = list(figure.subplots(1, 2, sharey=True))
        for axis, metric in zip(axes, AUROCS, strict=True):
            _draw(figure, axis, results, systems, metric)
            axis.set_xticks(range(len(systems)), labels, rotation=90)
        axes[0].set_yticks(
            range(len(results.categories)),
            [textwrap.shorten(name, 24, placeholder="…") for name in results.categories],
        )
    return figure


def _draw(
    figure: Figure, axis: Axes, results: Results, systems: Sequence[System], metric: str
) -> None:
    points = np.full((len(results.categories), len(systems)), np.nan)
    for row, category in enumerate(results.categories):
        for column, system in enumerate(systems):
            found = gain(results, system, category, metric)
            points[row, column] = np.nan if found is None else found.points
    largest = largest_gain(results, metric)
    axis.imshow(
        points, cmap=SCALE, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest"
    )
    axis.set_title(f"{CATALOGUE[metric].heading}, points")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(points):
        if np.isnan(value):
            axis.text(column, row, "–", ha="center", va="center", fontsize=6)
        elif len(systems) <= NUMBERS_MAX:
            axis.text(
                column,
                row,
                signed(value, 1),
                ha="center",
                va="center",
                fontsize=6,
            )
    bar = figure.colorbar(
        ScalarMappable(Normalize(-largest, largest), SCALE),
        ax=axis,
        location="bottom",
        aspect=16,
        pad=0.03,
    )
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_linewidth(0.4)
