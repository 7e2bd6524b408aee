"""Series as drawings of plain numbers, which the page's template writes as SVG: lines with bands,
ticks, changes, and a word for every night.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apc_bench.history.series import Series
from apc_bench.metrics.catalogue import CATALOGUE, COSTS, FRACTION
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.change_points import Array

WIDTH, HEIGHT = 440, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
COLOURS = 6
"""Classes of the page's palette; a seventh system begins anew with dots."""


@dataclass(frozen=True, slots=True)
class Line:
    """One system: its class of colour, polylines and band polygons as SVG points (parted at gaps),
    and lone nights as (x, y).
    """

    colour: int
    dashed: bool
    paths: tuple[str, ...]
    bands: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel. `ticks`: (y, label); `dates`: (x, label, anchor); `changes`: (x, what); `nights`:
    (x, width, what a pointer is told).
    """

    title: str
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str, str], ...]
    changes: tuple[tuple[float, str], ...]
    nights: tuple[tuple[float, float, str], ...]


def title_of(column: str) -> str:
    """`AUROC_im, %` or `bank, s a trial`."""
    metric = CATALOGUE[column]
    return f"{metric.heading}, %" if metric.unit == FRACTION else metric.title


def value_text(column: str, value: float) -> str:
    """As in the tables: percent with two decimals; seconds with three digits."""
    if CATALOGUE[column].unit == FRACTION:
        return f"{100 * value:.2f}"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def chart(
    series: Sequence[Series],
    nights: Sequence[RecordedRun],
    colours: dict[str, int],
    title: str | None = None,
) -> Chart:
    """One panel of the same column for several systems."""
    column = series[0].column
    scale = 100.0 if series[0].is_metric else 1.0
    edges = [
        scale * (one.values + sign * np.nan_to_num(one.spread))
        for one in series
        for sign in (-1, 1)
    ]
    low, high, marks = _range(np.concatenate(edges), floor=column in COSTS)
    x = _places(len(nights))

    def y(values: Array) -> Array:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - scale * values) / (high - low)

    lines = tuple(_line(one, x, y, colours[one.system]) for one in series)
    ticks = tuple((float(y(np.array(mark / scale))), f"{mark:g}") for mark in marks)
    changes = tuple(
        (float(x[step.night]) - _step(len(nights)) / 2, change_text(one, step.before, step.after))
        for one in series
        for step in one.steps
    )
    return Chart(
        title or title_of(column),
        lines,
        ticks,
        _dates(nights, x),
        changes,
        _told(series, nights, x),
    )


def change_text(series: Series, before: float, after: float) -> str:
    """`APC, 5 shots: 97.20 → 95.10`."""
    return (
        f"{series.system}: {value_text(series.column, before)} → {value_text(series.column, after)}"
    )


def _places(count: int) -> Array:
    inner = WIDTH - LEFT - RIGHT
    return (
        np.array([LEFT + inner / 2])
        if count == 1
        else LEFT + 6 + (inner - 12) * np.arange(count) / (count - 1)
    )


def _step(count: int) -> float:
    return (WIDTH - LEFT - RIGHT - 12) / max(count - 1, 1)


def _range(values: Array, *, floor: bool) -> tuple[float, float, list[float]]:
    """Lower and upper end of the axis and its marks: three to seven round numbers around what is
    finite; `floor`: never below 0.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    room = max((high - low) * 0.08, abs(high) * 1e-3, 1e-6)
    low, high = (max(low - room, 0.0) if floor else low - room), high + room
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 5)
    return (
        low,
        high,
        [
            round(step * index, 12)
            for index in range(math.ceil(low / step), math.floor(high / step) + 1)
        ],
    )


def _line(series: Series, x: Array, y, colour: int) -> Line:  # type: ignore[no-untyped-def]
    middle, upper, lower = (
        y(series.values + sign * np.nan_to_num(series.spread)) for sign in (0, 1, -1)
    )
    runs = _runs(np.isfinite(series.values))
    paths = tuple(_points(x[run], middle[run]) for run in runs if len(run) > 1)
    bands = tuple(
        f"{_points(x[run], upper[run])} {_points(x[run][::-1], lower[run][::-1])}"
        for run in runs
        if len(run) > 1 and np.isfinite(series.spread[run]).any()
    )
    few = len(x) <= 40
    dots = tuple(
        (round(float(x[night]), 1), round(float(middle[night]), 1))
        for run in runs
        for night in run
        if few or len(run) == 1
    )
    return Line(colour % COLOURS, colour >= COLOURS, paths, bands, dots)


def _runs(there: NDArray[np.bool_]) -> list[NDArray[np.int_]]:
    """Nights without a gap between them."""
    places = np.flatnonzero(there)
    return [run for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]


def _points(x: Array, y: Array) -> str:
    return " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(x, y, strict=True))


def _dates(nights: Sequence[RecordedRun], x: Array) -> tuple[tuple[float, str, str], ...]:
    """The first and the last night's days, and the middle one's where there is room."""
    count = len(nights)
    shown = [0] if count == 1 else [0, count - 1] if count < 5 else [0, count // 2, count - 1]
    anchors = {0: "start", count - 1: "end"} if count > 1 else {}
    return tuple(
        (float(x[index]), nights[index].created[:10], anchors.get(index, "middle"))
        for index in shown
    )


def _told(
    series: Sequence[Series], nights: Sequence[RecordedRun], x: Array
) -> tuple[tuple[float, float, str], ...]:
    width = _step(len(nights))
    return tuple(
        (
            float(x[index]) - width / 2,
            width,
            "\n".join([night.title, *(_said(one, index) for one in series)]),
        )
        for index, night in enumerate(nights)
    )


def _said(series: Series, night: int) -> str:
    if not np.isfinite(series.values[night]):
        return f"{series.system}: missing"
    spread = (
        f" ± {value_text(series.column, float(series.spread[night]))}"
        if np.isfinite(series.spread[night])
        else ""
    )
    return f"{series.system}: {value_text(series.column, float(series.values[night]))}{spread}"
