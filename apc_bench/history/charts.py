"""Series as drawings of plain numbers, which the page's template writes as SVG: lines with bands,
ticks, changes, and a word for every night.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apc_bench.history.series import Series, title_of
from apc_bench.metrics.catalogue import COSTS
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.variance import Array

WIDTH, HEIGHT = 440, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
MARGIN = 6
"""Between the first and the last night and the panel's edges."""
COLOURS = 6
"""Classes of the page's palette; a seventh system begins anew, dashed."""
DOTS_MAX = 40
"""Nights up to which each has a dot; of more, only those without a neighbour."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Where a panel draws. `x`: of each night (nights,), `width` apart; `low`, `high`: ends of the
    axis of values times `scale`.
    """

    x: Array
    width: float
    low: float
    high: float
    scale: float

    def y(self, values: Array) -> Array:
        """Of values in any shape."""
        share = (self.high - self.scale * values) / (self.high - self.low)
        return TOP + (HEIGHT - TOP - BOTTOM) * share


def chart(
    series: Sequence[Series],
    nights: Sequence[RecordedRun],
    colours: Mapping[str, int],
    title: str | None = None,
) -> Chart:
    """One panel of the same column for several systems. `colours`: a number for each."""
    column = series[0].column
    scale = 100.0 if series[0].is_metric else 1.0
    edges = [scale * edge for line in series for edge in line.band]
    low, high = _range(np.concatenate(edges), floor=column in COSTS)
    frame = _Frame(*_places(len(nights)), low, high, scale)
    marks = _marks(low, high)
    return Chart(
        title or title_of(column),
        tuple(_line(line, frame, colours[line.system]) for line in series),
        tuple((float(frame.y(np.array(mark / scale))), f"{mark:g}") for mark in marks),
        _dates(nights, frame.x),
        tuple(_changes(series, frame)),
        tuple(_night_texts(series, nights, frame)),
    )


def _changes(series: Sequence[Series], frame: _Frame) -> Iterator[tuple[float, str]]:
    """A mark before the first night of every new level."""
    for line in series:
        for step in line.changes:
            levels = f"{line.text(step.before)} → {line.text(step.after)}"
            yield float(frame.x[step.night]) - frame.width / 2, f"{line.system}: {levels}"


def _places(count: int) -> tuple[Array, float]:
    """x of each night (count,), and the width of one."""
    inner = WIDTH - LEFT - RIGHT
    if count == 1:
        return np.array([LEFT + inner / 2]), float(inner - 2 * MARGIN)
    inner -= 2 * MARGIN
    return LEFT + MARGIN + inner * np.arange(count) / (count - 1), inner / (count - 1)


def _range(values: Array, *, floor: bool) -> tuple[float, float]:
    """Lower and upper end of the axis around what is finite; `floor`: never below 0."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    room = max((high - low) * 0.08, abs(high) * 1e-3, 1e-6)
    return max(low - room, 0.0) if floor else low - room, high + room


def _marks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between the ends of an axis."""
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 5)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(step * index, 12) for index in range(first, last + 1)]


def _line(series: Series, frame: _Frame, colour: int) -> Line:
    x, middle = frame.x, frame.y(series.values)
    lower, upper = (frame.y(edge) for edge in series.band)
    paths, bands, dots = [], [], []
    for run in _runs(np.isfinite(series.values)):
        if len(run) > 1:
            paths.append(_points(x[run], middle[run]))
        if len(run) > 1 and np.isfinite(series.spread[run]).any():
            there, back = _points(x[run], upper[run]), _points(x[run][::-1], lower[run][::-1])
            bands.append(f"{there} {back}")
        if len(run) == 1 or len(x) <= DOTS_MAX:
            dots += [(round(float(x[night]), 1), round(float(middle[night]), 1)) for night in run]
    return Line(colour % COLOURS, colour >= COLOURS, tuple(paths), tuple(bands), tuple(dots))


def _runs(there: NDArray[np.bool_]) -> list[NDArray[np.int_]]:
    """Nights without a gap between them."""
    places = np.flatnonzero(there)
    gaps = np.flatnonzero(np.diff(places) > 1) + 1
    return [run for run in np.split(places, gaps) if len(run)]


def _points(x: Array, y: Array) -> str:
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True))


def _dates(nights: Sequence[RecordedRun], x: Array) -> tuple[tuple[float, str, str], ...]:
    """The first and the last night's days, and the middle one's where there is room."""
    last = len(nights) - 1
    if last == 0:
        shown = {0: "middle"}
    elif last < 4:
        shown = {0: "start", last: "end"}
    else:
        shown = {0: "start", len(nights) // 2: "middle", last: "end"}
    return tuple(
        (float(x[index]), nights[index].created[:10], anchor) for index, anchor in shown.items()
    )


def _night_texts(
    series: Sequence[Series], nights: Sequence[RecordedRun], frame: _Frame
) -> Iterator[tuple[float, float, str]]:
    """What a pointer is told of a night: which it is, and every system's value."""
    for index, night in enumerate(nights):
        lines = [night.title, *(_value_line(line, index) for line in series)]
        yield float(frame.x[index]) - frame.width / 2, frame.width, "\n".join(lines)


def _value_line(series: Series, night: int) -> str:
    """`APC, 5 shots: 97.20 ± 0.30`."""
    value, spread = float(series.values[night]), float(series.spread[night])
    if not math.isfinite(value):
        return f"{series.system}: missing"
    around = f" ± {series.text(spread)}" if math.isfinite(spread) else ""
    return f"{series.system}: {series.text(value)}{around}"
