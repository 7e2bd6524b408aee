"""How few samples? AUROC, and missed defects with the false alarms that they cost, against shots,
with the baseline at none.
"""

from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
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
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import mean, t_interval

PANELS = (*AUROCS, "missed_rate", "false_alarm_rate")
"""The two rates stand side by side: a threshold that was calibrated on few normal images may let
more through than was asked for.
"""


def few_drawings(results: Results, folder: Path) -> dict[str, Drawing]:
    """Category, or '' for the mean over categories -> drawing; none where nothing is trained or
    there is no baseline to start from.
    """
    if not results.shots or results.baseline is None:
        return {}
    whole = (
        {"": Drawing(partial(_few, None), folder, "few", WITH_PNG)}
        if len(results.categories) > 1
        else {}
    )
    return whole | {
        name: Drawing(partial(_few, name), folder, f"few_{file_name(name)}")
        for name in results.categories
    }


def _few(category: str | None, results: Results, run: RunReader) -> Figure | None:
    return few_figure(results, category)


def few_figure(results: Results, category: str | None) -> Figure | None:
    """Four panels of one category or (None) of the mean over categories, without those that are
    undefined. Bands are 95 % t intervals over seeds, so that they tell how far another draw of
    anomalous images may lie; from two seeds on. None where no figure is defined.
    """
    drawn = looks(results)
    numbers = (0, *results.shots)
    trained = dict.fromkeys(system.method for system in results.systems if not system.frozen)
    with style():
        figure = Figure(figsize=(COLUMN, 3.9), layout="constrained")
        axes = list(figure.subplots(2, 2).flat)
        allowed = 100 * float(results.settings.get("false_alarms", 0.05))
        for axis, metric in zip(axes, PANELS, strict=True):
            title = CATALOGUE[metric].title
            axis.set_title(
                f"{title}\nat the threshold for {allowed:g} %"
                if metric.endswith("_rate")
                else title
            )
            axis.set_xticks(range(len(numbers)), [str(number) for number in numbers])
            for method in trained:
                _draw(axis, results, method, metric, category, drawn[method], numbers)
            axis.set_visible(bool(axis.lines))
            if metric == "false_alarm_rate":
                axis.axhline(allowed, color="0.5", linewidth=0.8, linestyle=":")
        for axis in axes[::2]:
            axis.set_ylabel("Percent")
        for axis in axes[2:]:
            axis.set_xlabel("Anomalous samples")
        seeds = len(results.seeds)
        band = f" (95 % interval over {seeds} seeds)" if seeds > 1 else ""
        figure.suptitle(title_of(f"{results.dataset}: {category or 'mean over categories'}{band}"))
        legend_below(figure, axes)
    return figure if any(axis.get_visible() for axis in axes) else None


def _draw(
    axis: Axes,
    results: Results,
    method: str,
    metric: str,
    category: str | None,
    look: Look,
    numbers: tuple[int, ...],
) -> None:
    """One method's line from the baseline on. Places are evenly spaced: 1 and 2 samples matter as
    much as 10 and 20.
    """
    assert results.baseline is not None
    places: list[int] = []
    values: list[float] = []
    low: list[float] = []
    high: list[float] = []
    for system in (results.baseline, *system_at(results, method)):
        found = per_seed(results, system, metric, category)
        if found:
            reach = t_interval(found) or (mean(found),) * 2
            places.append(numbers.index(system.shots))
            values.append(100 * mean(found))
            low.append(100 * max(0.0, reach[0]))
            high.append(100 * min(1.0, reach[1]))
    if len(places) > 1 or places[:1] != [0]:
        axis.plot(
            places,
            values,
            color=look.colour,
            marker=look.marker,
            linestyle=look.dashes,
            label=system_at(results, method)[0].title,
        )
        axis.fill_between(places, low, high, color=look.colour, alpha=0.15, linewidth=0)


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
