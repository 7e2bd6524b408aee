"""ROC and precision-recall curves of a category, at image and pixel level."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from apc_bench.errors import ApcError
from apc_bench.report.figure_style import (
    COLUMN,
    Look,
    ReportFigure,
    legend_below,
    looks,
    style,
    title_of,
)
from apc_bench.report.parallel import FigureTask, figure_by_category
from apc_bench.results.aggregate import Results
from apc_bench.results.run_reader import RunReader

PANELS = (("image", "roc"), ("image", "pr"), ("pixel", "roc"), ("pixel", "pr"))
"""Level and curve, as in schemas.CURVES."""

TITLES = {"roc": "ROC", "pr": "precision-recall"}
AXES = {"roc": ("False-positive rate", "True-positive rate"), "pr": ("Recall", "Precision")}
POINTS_MAX = 600
SEEDS_MAX = 10
"""Lines of a system in one panel; more hide each other."""

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x and y of a curve's points, (n,) each."""


def curves_tasks(results: Results, folder: Path) -> dict[str, FigureTask]:
    """Category -> its curves, `curves_CATEGORY`."""
    return figure_by_category(curves_figure, results, folder, "curves")


def curves_figure(results: Results, run: RunReader, category: str) -> Figure | None:
    """A panel a level and curve at the largest number of shots: one line for each of the first
    SEEDS_MAX seeds, the first in full strength.

    None where no trial of the category has curves that can be read.
    """
    with style():
        panels = [panel for panel in PANELS if results.shown([f"{panel[0]}_auroc"])]
        height = 0.5 + 1.5 * len(panels) / 2
        figure = ReportFigure(figsize=(COLUMN, height), layout="constrained")
        axes = dict(zip(panels, figure.subplots(len(panels) // 2, 2).flat, strict=True))
        for (level, curve), axis in axes.items():
            across, up = AXES[curve]
            axis.set(xlabel=across, ylabel=up, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axis.set_title(f"{level.capitalize()} {TITLES[curve]}")
        if not _draw_trials(axes, results, run, category):
            return None
        for axis in axes.values():
            if not axis.lines:
                axis.text(0.5, 0.5, "undefined", ha="center", va="center")
        title = f"{results.dataset}: {category}"
        if len(results.seeds) > SEEDS_MAX:
            title += f" (the first {SEEDS_MAX} of {len(results.seeds)} {results.seed_words[1]})"
        figure.suptitle(title_of(title))
        legend_below(figure, list(axes.values()))
    return figure


def _draw_trials(
    axes: Mapping[tuple[str, str], Axes], results: Results, run: RunReader, category: str
) -> bool:
    """Draws every trial's lines; False where no trial has curves that can be read."""
    drawn = looks(results)
    readable = False
    for system in results.at_most_shots():
        for seed in system.seeds[:SEEDS_MAX]:
            points = read_curves(run, results.trials[system, category, seed].result_key)
            if points is None:
                continue
            readable = True
            label = system.label if seed == system.seeds[0] else None
            for (level, curve), axis in axes.items():
                line = curve_line(points, level, curve)
                _draw_line(axis, line, drawn[system.method], label, steps=curve == "pr")
    return readable


def _draw_line(axis: Axes, line: Line, look: Look, label: str | None, *, steps: bool) -> None:
    """One trial's curve: in full strength and in the legend with a label, else in the background.
    Average precision is the area under `steps`, so steps are what is drawn.
    """
    if len(line[0]):
        axis.plot(
            *line,
            color=look.colour,
            linestyle=look.dashes if label else "-",
            drawstyle="steps-pre" if steps else "default",
            linewidth=1.2 if label else 0.5,
            alpha=1.0 if label else 0.5,
            label=label,
        )


def read_curves(run: RunReader, result_key: str | None) -> pl.DataFrame | None:
    """A trial's curves (schemas.CURVES); None where there is no such trial, or one whose file
    cannot be read.
    """
    try:
        return run.curves(result_key) if result_key else None
    except ApcError:
        return None


def curve_line(points: pl.DataFrame, level: str, curve: str, most: int = POINTS_MAX) -> Line:
    """One curve of schemas.CURVES, from the highest threshold down, thinned; empty where it is
    undefined.
    """
    chosen = points.filter((pl.col("level") == level) & (pl.col("curve") == curve))
    ordered = chosen.sort("threshold", descending=True, nulls_last=False, maintain_order=True)
    return thinned(ordered["x"].to_numpy(), ordered["y"].to_numpy(), most)


def thinned(x: NDArray[np.float64], y: NDArray[np.float64], most: int = POINTS_MAX) -> Line:
    """At most `most` points, evenly along the curve's length, ends kept: more cannot be seen, and
    would make large files.
    """
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)).clip(0, len(x) - 1))
    return x[keep], y[keep]
