"""The answer as a picture: what each system finds of the defects, by category and defect type."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apc_bench.report.figure_style import (
    COLUMN,
    WITH_PNG,
    ReportFigure,
    legend_below,
    looks,
    style,
    title_of,
)
from apc_bench.report.parallel import FigureTask, of_results
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.detections import Detections
from apc_bench.tables.answer import NAME, share_limits, spoken_of, told

DOTS_MAX = 44
"""Dots up to which defect types have rows of their own under their category's."""

NAMES_MAX = 26
"""Characters of a row's name."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A category, or one of its defect types, as an answer over its photos alone."""

    name: str
    answer: Answer
    of_type: bool


def answer_task(answered: Sequence[Answer], folder: Path) -> FigureTask:
    """`answer`: all categories."""
    return FigureTask(partial(of_results, answer_figure, answered=answered), folder, NAME, WITH_PNG)


def answer_figure(results: Results, answered: Sequence[Answer]) -> Figure | None:
    """A row a category and, where there is room, one a defect type: a dot a system with its 95 %
    interval. None where there is no answer.
    """
    if not answered:
        return None
    systems = 1 + max(len(told(answer)) for answer in answered)
    rows = list(_rows(answered, DOTS_MAX // systems))
    ranked = any(answer.undefined for answer in answered)
    title = "image AUROC, for there is no threshold"
    if not ranked:
        allowed = f"{100 * answered[0].allowed:g} % false alarms"
        title = f"defects found of 100 at a threshold for {allowed}"
    with style():
        height = 0.9 + (0.1 + 0.07 * systems) * len(rows)
        figure = ReportFigure(figsize=(COLUMN, height), layout="constrained")
        axis = figure.subplots()
        for place, row in enumerate(rows):
            _draw_row(axis, results, row, place)
        axis.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlim(-2, 102)
        axis.tick_params(axis="y", length=0)
        axis.grid(visible=False, axis="y")
        for place, row in enumerate(rows):
            if place and not row.of_type:
                axis.axhline(place - 0.5, color="0.8", linewidth=0.6)
        figure.suptitle(title_of(f"{results.dataset}: {title}"))
        legend_below(figure, [axis])
    return figure


def _rows(answered: Sequence[Answer], most: int) -> Iterator[_Row]:
    """Categories, with their types where all of them have room (`most`: rows) and a category has
    several.
    """
    types = sum(len(answer.types) for answer in answered)
    for answer in answered:
        yield _Row(answer.category, answer, of_type=False)
        if len(answer.types) > 1 and types + len(answered) <= most:
            for kind in answer.types:
                photos = [found.of_type(kind) for found in answer.detections]
                yield _Row(kind, replace(answer, detections=photos), of_type=True)


def _label(row: _Row) -> str:
    name = textwrap.shorten(row.name, NAMES_MAX, placeholder="…")
    whole = "" if row.of_type else ", all"
    return f"{name}{whole} ({row.answer.defects})"


def _draw_row(axis: Axes, results: Results, row: _Row, place: int) -> None:
    """The systems that the answer speaks of, the baseline's above the others'."""
    drawn = looks(results)
    shown = spoken_of(row.answer)
    for index, found in enumerate(shown):
        look = drawn[found.system.method]
        height = place + 0.2 * (index - (len(shown) - 1) / 2)
        low, high = share_limits(row.answer, found)
        axis.plot([100 * low, 100 * high], [height, height], color=look.colour, linewidth=0.8)
        axis.plot(
            [100 * _share(row.answer, found)],
            [height],
            color=look.colour,
            marker=look.marker or "s",
            linestyle="none",
            label=found.system.label,
        )


def _share(answer: Answer, found: Detections) -> float:
    return found.auroc if answer.undefined else found.share
