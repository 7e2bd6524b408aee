"""Figures of the report: metrics against shots, and ROC and precision-recall curves."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.errors import ApcError
from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.report.figure_style import (
    COLUMN,
    WITH_PNG,
    Look,
    file_name,
    legend_below,
    looks,
    style,
    system_at,
    title_of,
)
from apc_bench.report.parallel import Drawing
from apc_bench.results.aggregate import Mean, Results, System
from apc_bench.results.run_reader import RunReader

PANELS = (("image", "roc"), ("image", "pr"), ("pixel", "roc"), ("pixel", "pr"))
AXES = {"roc": ("False-positive rate", "True-positive rate"), "pr": ("Recall", "Precision")}
POINTS_MAX = 600
SEEDS_MAX = 10
"""Lines of a system in one panel; more hide each other."""


def shots_figure(results: Results, category: str | None) -> Figure:
    """The poster's four metrics against shots, of one category or (None) of the mean over
    categories.

    Frozen systems are horizontal lines; bands are ± one standard deviation over seeds.
    """
    with style():
        figure = Figure(figsize=(COLUMN, 3.2), layout="constrained")
        axes = list(figure.subplots(2, 2).flat)
        for axis, metric in zip(axes, POSTER, strict=True):
            _draw_shots(axis, results, metric, category)
        for axis in axes[2:]:
            axis.set_xlabel("Anomalous samples")
        for axis in axes[::2]:
            axis.set_ylabel("Percent")
        figure.suptitle(
            title_of(f"{results.dataset}: {category or 'mean over categories'}{_bands(results)}")
        )
        legend_below(figure, axes)
    return figure


def _bands(results: Results) -> str:
    return f" (± sd, {len(results.seeds)} seeds)" if len(results.seeds) > 1 else ""


def _draw_shots(axis: Axes, results: Results, metric: str, category: str | None) -> None:
    means = _means(results, metric, category)
    drawn = looks(results)
    axis.set_title(CATALOGUE[metric].title)
    if not means:
        axis.text(
            0.5, 0.5, "undefined or missing", transform=axis.transAxes, ha="center", va="center"
        )
        axis.set_xticks([])
        axis.set_yticks([])
        return
    ticks = list(results.shots) or [0]
    axis.set_xticks(ticks)
    reach = 0.08 * (ticks[-1] - ticks[0]) or 0.5
    axis.set_xlim(ticks[0] - reach, ticks[-1] + reach)
    for method, look in drawn.items():
        systems = [system for system in system_at(results, method) if system in means]
        if systems:
            _draw_method(axis, systems, [means[system] for system in systems], look)
    axis.margins(y=0.12)
    counts = {len(mean.categories) for mean in means.values()}
    if category is None and counts != {len(results.categories)}:
        axis.set_title(
            f"{CATALOGUE[metric].title}, {counts.pop()} of {len(results.categories)} categories"
        )


def _means(results: Results, metric: str, category: str | None) -> dict[System, Mean]:
    """What can be drawn: in the mean, only what rests on the same categories."""
    if category is not None:
        found = {
            system: results.in_category(system, category, metric) for system in results.systems
        }
    else:
        comparison = results.means(results.systems, metric)
        found = dict(comparison.by_system) if comparison.shared else {}
    return {system: mean for system, mean in found.items() if mean is not None}


def _draw_method(axis: Axes, systems: Sequence[System], means: Sequence[Mean], look: Look) -> None:
    title = systems[0].title
    values = 100 * np.array([mean.value for mean in means])
    spread = 100 * np.array([mean.sd or 0.0 for mean in means])
    if systems[0].frozen:
        axis.axhline(values[0], color=look.colour, linestyle=look.dashes, label=f"{title} (frozen)")
        if spread[0]:
            axis.axhspan(
                values[0] - spread[0],
                values[0] + spread[0],
                color=look.colour,
                alpha=0.12,
                linewidth=0,
            )
        return
    shots = [system.shots for system in systems]
    axis.plot(
        shots, values, color=look.colour, marker=look.marker, linestyle=look.dashes, label=title
    )
    axis.fill_between(
        shots, values - spread, values + spread, color=look.colour, alpha=0.18, linewidth=0
    )
    if len(shots) == 1 and spread[0]:
        axis.errorbar(shots, values, yerr=spread, color=look.colour, capsize=2)


def curves_figure(results: Results, run: RunReader, category: str) -> Figure | None:
    """ROC and precision-recall curves, image and pixel level, at the largest number of shots: one
    line for each of the first SEEDS_MAX seeds, the first in full strength.

    None where no trial of the category has curves that can be read.
    """
    drawn = looks(results)
    with style():
        figure = Figure(figsize=(COLUMN, 3.5), layout="constrained")
        axes = list(figure.subplots(2, 2).flat)
        for axis, (level, curve) in zip(axes, PANELS, strict=True):
            axis.set(
                xlabel=AXES[curve][0], ylabel=AXES[curve][1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
            )
            axis.set_title(
                f"{level.capitalize()} {'ROC' if curve == 'roc' else 'precision-recall'}"
            )
        some = False
        for system in results.at_most_shots():
            for position, seed in enumerate(system.seeds[:SEEDS_MAX]):
                points = read_curves(run, results.trials[system, category, seed].result_key)
                some |= points is not None
                for axis, (level, curve) in zip(axes, PANELS, strict=True):
                    if points is not None:
                        _draw_curve(
                            axis,
                            points,
                            level,
                            curve,
                            drawn[system.method],
                            system.label,
                            first=position == 0,
                        )
        for axis in axes:
            if not axis.lines:
                axis.text(0.5, 0.5, "undefined", ha="center", va="center")
        few = (
            f" (the first {SEEDS_MAX} of {len(results.seeds)} seeds)"
            if len(results.seeds) > SEEDS_MAX
            else ""
        )
        figure.suptitle(title_of(f"{results.dataset}: {category}{few}"))
        legend_below(figure, axes)
    return figure if some else None


def read_curves(run: RunReader, result_key: str | None) -> pl.DataFrame | None:
    """A trial's curves (schemas.CURVES); None where there is no such trial, or one whose file
    cannot be read.
    """
    try:
        return run.curves(result_key) if result_key else None
    except ApcError:
        return None


def _draw_curve(
    axis: Axes, points: pl.DataFrame, level: str, curve: str, look: Look, label: str, *, first: bool
) -> None:
    x, y = points_of(points, level, curve)
    if not len(x):
        return
    dashes = look.dashes if first else "-"
    steps = (
        "steps-pre" if curve == "pr" else "default"
    )  # average precision is the area under these steps
    width, alpha = (1.2, 1.0) if first else (0.5, 0.5)
    axis.plot(
        x,
        y,
        color=look.colour,
        linestyle=dashes,
        drawstyle=steps,
        linewidth=width,
        alpha=alpha,
        label=label if first else None,
    )


def points_of(
    points: pl.DataFrame, level: str, curve: str, most: int = POINTS_MAX
) -> tuple[np.ndarray, np.ndarray]:
    """One curve of schemas.CURVES, from the highest threshold down, thinned; empty where it is
    undefined.
    """
    chosen = points.filter((pl.col("level") == level) & (pl.col("curve") == curve))
    ordered = chosen.sort("threshold", descending=True, nulls_last=False, maintain_order=True)
    return thinned(ordered["x"].to_numpy(), ordered["y"].to_numpy(), most)


def thinned(x: np.ndarray, y: np.ndarray, most: int = POINTS_MAX) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points, evenly along the curve's length, ends kept: more cannot be seen, and
    would make large files.
    """
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)).clip(0, len(x) - 1))
    return x[keep], y[keep]


def shots_drawings(results: Results, folder: Path) -> dict[str, Drawing]:
    """Metrics against shots: category, or '' for the mean over categories -> drawing."""
    mean = (
        {"": Drawing(_mean_shots, folder, "shots", WITH_PNG)} if len(results.categories) > 1 else {}
    )
    return mean | {
        name: Drawing(partial(_category_shots, name), folder, f"shots_{file_name(name)}")
        for name in results.categories
    }


def _mean_shots(results: Results, run: RunReader) -> Figure:
    return shots_figure(results, None)


def _category_shots(category: str, results: Results, run: RunReader) -> Figure:
    return shots_figure(results, category)


def curves_drawings(results: Results, folder: Path) -> dict[str, Drawing]:
    """ROC and precision-recall curves: category -> drawing."""
    return {
        name: Drawing(partial(_category_curves, name), folder, f"curves_{file_name(name)}")
        for name in results.categories
    }


def _category_curves(category: str, results: Results, run: RunReader) -> Figure | None:
    return curves_figure(results, run, category)
