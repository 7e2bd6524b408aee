"""Metrics against the number of anomalous training images: the poster's four with the baseline as a
line, and, from the baseline on, how few samples bring how much.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE, POSTER
from apc_bench.report.figure_style import (
    COLUMN,
    Look,
    ReportFigure,
    legend_below,
    looks,
    style,
    title_of,
)
from apc_bench.report.parallel import (
    FigureTask,
    figure_by_category,
    figure_of_the_mean,
    of_results,
)
from apc_bench.results.aggregate import Mean, Results, System
from apc_bench.statistics.differences import mean, t_interval
from apc_bench.wording import counted

FEW_SAMPLES = (*AUROCS, "missed_rate", "false_alarm_rate")
"""The two rates stand side by side: a threshold that was calibrated on few normal images may let
more through than was asked for.
"""


def shots_tasks(results: Results, folder: Path) -> dict[str, FigureTask]:
    """Category, or '' for the mean over categories -> its metrics against shots, `shots`."""
    draw = partial(of_results, shots_figure)
    whole = figure_of_the_mean(draw, results, folder, "shots")
    return whole | figure_by_category(draw, results, folder, "shots")


def few_samples_tasks(results: Results, folder: Path) -> dict[str, FigureTask]:
    """Category, or '' for the mean over categories -> how few samples, `few`; none where nothing is
    trained or there is no baseline to start from.
    """
    if not results.shots or results.baseline is None:
        return {}
    draw = partial(of_results, few_samples_figure)
    whole = figure_of_the_mean(draw, results, folder, "few")
    return whole | figure_by_category(draw, results, folder, "few")


def shots_figure(results: Results, category: str | None) -> Figure:
    """The poster's four metrics against shots, of one category or (None) of the mean over
    categories.

    Frozen systems are horizontal lines; bands are ± one standard deviation over seeds.
    """
    seeds = counted(len(results.seeds), *results.seed_words)
    metrics = results.shown(POSTER)
    with style():
        height = 0.6 + 1.3 * -(-len(metrics) // 2)
        figure = ReportFigure(figsize=(COLUMN, height), layout="constrained")
        axes = _panels(figure, len(metrics))
        for axis, metric in zip(axes, metrics, strict=True):
            _draw_metric(axis, results, metric, category)
        spread = f" (± sd, {seeds})" if len(results.seeds) > 1 else ""
        figure.suptitle(_title(results, category, spread))
        legend_below(figure, axes)
    return figure


def _panels(figure: Figure, number: int) -> list[Axes]:
    """Two in a row, which titles have room beside each other in, with what both figures say along
    the axes.
    """
    columns = min(2, number)
    axes = list(figure.subplots(-(-number // columns), columns, squeeze=False).flat)
    for spare in axes[number:]:
        spare.remove()
    axes = axes[:number]
    for axis in axes[-columns:]:
        axis.set_xlabel("Anomalous samples")
    for axis in axes[::columns]:
        axis.set_ylabel("Percent")
    return axes


def _title(results: Results, category: str | None, bands: str) -> str:
    return title_of(f"{results.dataset}: {category or 'mean over categories'}{bands}")


def _draw_metric(axis: Axes, results: Results, metric: str, category: str | None) -> None:
    means = _means(results, metric, category)
    title = CATALOGUE[metric].title
    axis.set_title(title)
    if not means:
        _say_undefined(axis)
        return
    ticks = list(results.shots) or [0]
    axis.set_xticks(ticks)
    margin = 0.08 * (ticks[-1] - ticks[0]) or 0.5
    axis.set_xlim(ticks[0] - margin, ticks[-1] + margin)
    for method, look in looks(results).items():
        systems = [system for system in _by_shots(results, method) if system in means]
        if systems:
            _draw_method(axis, systems, [means[system] for system in systems], look)
    axis.margins(y=0.12)
    counts = {len(mean.categories) for mean in means.values()}
    if category is None and counts != {len(results.categories)}:
        axis.set_title(f"{title}, {counts.pop()} of {len(results.categories)} categories")


def _say_undefined(axis: Axes) -> None:
    """What stands in a panel without a line."""
    axis.text(0.5, 0.5, "undefined or missing", transform=axis.transAxes, ha="center", va="center")
    axis.set_xticks([])
    axis.set_yticks([])


def _by_shots(results: Results, method: str) -> list[System]:
    """A method's systems by shots."""
    systems = [system for system in results.systems if system.method == method]
    return sorted(systems, key=lambda system: system.shots)


def _means(results: Results, metric: str, category: str | None) -> dict[System, Mean]:
    """What can be drawn: in the mean, only what rests on the same categories."""
    if category is None:
        comparison = results.means(results.systems, metric)
        means = dict(comparison.by_system) if comparison.shared else {}
    else:
        means = {
            system: results.in_category(system, category, metric) for system in results.systems
        }
    return {system: mean for system, mean in means.items() if mean is not None}


def _draw_method(axis: Axes, systems: Sequence[System], means: Sequence[Mean], look: Look) -> None:
    title, colour = systems[0].title, look.colour
    values = 100 * np.array([mean.value for mean in means])
    spread = 100 * np.array([mean.sd or 0.0 for mean in means])
    low, high = values - spread, values + spread
    if systems[0].frozen:
        axis.axhline(values[0], color=colour, linestyle=look.dashes, label=f"{title} (frozen)")
        if spread[0]:
            axis.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0)
        return
    shots = [system.shots for system in systems]
    axis.plot(shots, values, color=colour, marker=look.marker, linestyle=look.dashes, label=title)
    axis.fill_between(shots, low, high, color=colour, alpha=0.18, linewidth=0)
    if len(shots) == 1 and spread[0]:
        axis.errorbar(shots, values, yerr=spread, color=colour, capsize=2)


def few_samples_figure(results: Results, category: str | None) -> Figure | None:
    """AUROC, and missed defects with the false alarms that they cost, of one category or (None) of
    the mean over categories. Bands are 95 % t intervals over seeds, so that they tell how far
    another draw of anomalous images may lie; from two seeds on. Only what is defined has a panel.

    None where nothing is.
    """
    numbers = (0, *results.shots)
    allowed = 100 * float(results.settings.get("false_alarms", 0.05))
    seeds = counted(len(results.seeds), *results.seed_words)
    metrics = [
        metric for metric in results.shown(FEW_SAMPLES) if _any_line(results, metric, category)
    ]
    if not metrics:
        return None
    with style():
        height = 0.7 + 1.6 * -(-len(metrics) // 2)
        figure = ReportFigure(figsize=(COLUMN, height), layout="constrained")
        for axis, metric in zip(_panels(figure, len(metrics)), metrics, strict=True):
            at = f"\nat the threshold for {allowed:g} %" if metric.endswith("_rate") else ""
            axis.set_title(CATALOGUE[metric].title + at)
            axis.set_xticks(range(len(numbers)), [str(number) for number in numbers])
            _draw_lines(axis, results, metric, category)
            if metric == "false_alarm_rate":
                axis.axhline(allowed, color="0.5", linewidth=0.8, linestyle=":")
        band = f" (95 % interval over {seeds})" if len(results.seeds) > 1 else ""
        figure.suptitle(_title(results, category, band))
        legend_below(figure, figure.axes)
    return figure


def _any_line(results: Results, metric: str, category: str | None) -> bool:
    """Whether a fine-tuned system has the metric, so that its panel is not empty."""
    tuned = (system for system in results.systems if not system.frozen)
    return any(per_seed(results, system, metric, category) for system in tuned)


def _draw_lines(axis: Axes, results: Results, metric: str, category: str | None) -> None:
    """A line for each fine-tuned method, from the baseline on. Places are evenly spaced: 1 and 2
    samples matter as much as 10 and 20.
    """
    assert results.baseline is not None
    numbers = (0, *results.shots)
    for method, look in looks(results).items():
        tuned = [system for system in _by_shots(results, method) if not system.frozen]
        places: list[int] = []
        lines: list[tuple[float, float, float]] = []
        for system in (results.baseline, *tuned):
            values = per_seed(results, system, metric, category)
            if values:
                places.append(numbers.index(system.shots))
                lines.append(_value_and_interval(values))
        if any(places):
            middle, low, high = zip(*lines, strict=True)
            axis.plot(
                places,
                middle,
                color=look.colour,
                marker=look.marker,
                linestyle=look.dashes,
                label=tuned[0].title,
            )
            axis.fill_between(places, low, high, color=look.colour, alpha=0.15, linewidth=0)


def _value_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and ends of its t interval over seeds within 0 to 100, in percent; of one seed all
    three are its value.
    """
    middle = mean(values)
    low, high = t_interval(values) or (middle, middle)
    return 100 * middle, 100 * max(0.0, low), 100 * min(1.0, high)


def per_seed(results: Results, system: System, metric: str, category: str | None) -> list[float]:
    """The metric of each seed: of one category, or the mean over all categories where each has it
    for every seed (else nothing).
    """
    if category is not None:
        return list(results.by_seed(system, category, metric).values())
    if len(results.complete(system, metric)) < len(results.categories):
        return []
    return [
        mean([results.by_seed(system, name, metric)[seed] for name in results.categories])
        for seed in system.seeds
    ]
