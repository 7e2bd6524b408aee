"""Scores of drawn images beside those of unseen anomalies and of normal images: the table in
memorisation.py.
"""

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from apc_bench.report.figure_style import (
    COLUMN,
    WITH_PNG,
    ReportFigure,
    legend_below,
    style,
    title_of,
)
from apc_bench.report.parallel import FigureTask, of_results
from apc_bench.results.aggregate import Results
from apc_bench.results.memorisation import (
    DRAWN,
    HELD_OUT,
    NORMAL,
    UNSEEN,
    Memorisation,
    Scores,
)
from apc_bench.tables.memorisation import NAME

ANOMALOUS, PLAIN = "#D55E00", "#0072B2"
"""The page's colours of anomalous and of normal images."""

GROUPS = {
    DRAWN: ("drawn (trained on)", ANOMALOUS, 1.0),
    UNSEEN: ("unseen anomalies", ANOMALOUS, 0.3),
    NORMAL: ("test normals", PLAIN, 1.0),
    HELD_OUT: ("held-out normals", PLAIN, 0.3),
}
"""Group -> name, colour and opacity."""

WIDTH = 0.2
"""Of a group's place, where the numbers of shots are 1 apart."""

FEW = 10
"""Images up to which a group is drawn as points: they have no quartiles to speak of."""

WHISKERS = (5, 95)
LINEAR = 3.0
"""Scaled score from which on the axis is logarithmic: a memorised image lies far off."""

TICKS = [0.0, *(sign * 10**tens * step for sign in (-1, 1) for tens in range(6) for step in (1, 3))]


def memorisation_task(memorised: Sequence[Memorisation], folder: Path) -> FigureTask:
    """`memorisation`: all fine-tuned methods."""
    draw = partial(of_results, memorisation_figure, memorised=memorised)
    return FigureTask(draw, folder, NAME, WITH_PNG)


def memorisation_figure(results: Results, memorised: Sequence[Memorisation]) -> Figure | None:
    """A panel a fine-tuned method, and in it, for each number of shots, the image scores of the
    groups side by side, all trials joined: as boxes of quartiles with whiskers at 5 and 95 %, or as
    points where they are few. None where no drawn image was scored, or no trial can be scaled.
    """
    found = [one for one in memorised if one.scaled]
    if not found:
        return None
    by_title: dict[str, list[Memorisation]] = {}
    for one in found:
        by_title.setdefault(one.system.title, []).append(one)
    shots = sorted({one.system.shots for one in found})
    title = "image scores, in interquartile ranges above the median test normal"
    with style():
        figure = ReportFigure(figsize=(COLUMN, 1.1 + 1.3 * len(by_title)), layout="constrained")
        panels = figure.subplots(len(by_title), 1, sharex=True, sharey=True, squeeze=False)
        axes = list(panels[:, 0])
        for axis, (method, ours) in zip(axes, by_title.items(), strict=True):
            axis.set_title(textwrap.shorten(method, 46, placeholder="…"))
            axis.set_ylabel("Scaled score")
            for one in ours:
                _draw_system(axis, one, shots.index(one.system.shots))
            _draw_scale(axis)
        axes[-1].set_xticks(range(len(shots)), [str(number) for number in shots])
        axes[-1].set_xlabel("Anomalous training images")
        figure.suptitle(title_of(f"{results.dataset}: {title}"))
        legend_below(figure, axes)
    return figure


def _draw_system(axis: Axes, found: Memorisation, place: int) -> None:
    """The groups of one method and number of shots, around a place of the horizontal axis."""
    for index, (group, (label, colour, opacity)) in enumerate(GROUPS.items()):
        scores = found.joined(group)
        middle = place + WIDTH * (index - (len(GROUPS) - 1) / 2)
        fill = (*to_rgb(colour), opacity)
        look: dict[str, Any] = {"facecolor": fill, "edgecolor": colour, "linewidth": 0.7}
        axis.fill_between([], [], label=label, **look)  # of the legend
        if len(scores) > FEW:
            _draw_box(axis, scores, middle, look)
        else:
            axis.scatter([middle] * len(scores), scores, s=9, **look)


def _draw_box(axis: Axes, scores: Scores, middle: float, look: dict[str, Any]) -> None:
    axis.boxplot(
        [scores],
        positions=[middle],
        widths=0.8 * WIDTH,
        whis=WHISKERS,
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops=look,
        medianprops={"color": "black", "linewidth": 1.2},
        whiskerprops={"color": look["edgecolor"], "linewidth": look["linewidth"]},
    )


def _draw_scale(axis: Axes) -> None:
    axis.set_yscale("symlog", linthresh=LINEAR)
    axis.yaxis.set_major_locator(FixedLocator(TICKS))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}".replace("-", "−")))
    axis.axhline(0, color="0.5", linewidth=0.8, linestyle=":")
    axis.grid(visible=False, axis="x")
