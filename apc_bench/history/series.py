"""Nights as series: every metric and every stage's time by night, with the spread over seeds and
the changes of level.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from apc_bench.gate.gate import what_differs
from apc_bench.metrics.catalogue import CATALOGUE, COSTS, FRACTION, METRICS
from apc_bench.results.aggregate import System
from apc_bench.results.pairing import Pair, figures
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.change_points import (
    ChangePoint,
    Spread,
    find_change_points,
    spread_of,
    without_spikes,
)
from apc_bench.statistics.variance import Array, noise_between_nights

Name = TypeVar("Name", str, int)
LEAST_METRIC, LEAST_COST = 1e-4, 0.02
"""The least noise that is believed: a hundredth of a percentage point, and two percent of time or
memory.
"""
SHORTEST_COST = 3
"""Nights that a level of time or memory lasts; a machine may be busy for one or two."""


def title_of(column: str) -> str:
    """`AUROC_im, %` or `bank, s a trial`."""
    metric = CATALOGUE[column]
    return f"{metric.heading}, %" if metric.unit == FRACTION else metric.title


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One figure of one system by night: `values` (nights,), NaN where a night lacks it, and
    `spread` (nights,): the standard deviation over seeds (ddof 1), NaN with one seed.

    `column`: of the metrics table; `category` None: mean over the categories that all nights
    planned. `changes`: of level, nights counted as in `values`.
    """

    system: str
    column: str
    category: str | None
    values: Array
    spread: Array
    changes: tuple[ChangePoint, ...]

    @property
    def is_metric(self) -> bool:
        """Whether it is shown in percent; costs are not."""
        return CATALOGUE[self.column].unit == FRACTION

    @property
    def band(self) -> tuple[Array, Array]:
        """Values less and plus their spread, (nights,) each."""
        spread = np.nan_to_num(self.spread)
        return self.values - spread, self.values + spread

    def text(self, value: float) -> str:
        """As in the tables: percent with two decimals; seconds with three digits."""
        if self.is_metric:
            return f"{100 * value:.2f}"
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


@dataclass(frozen=True, slots=True, eq=False)
class SystemHistory:
    """A system's figures on all nights: column -> (nights, categories, seeds), what every night
    planned, NaN where a trial is missing.
    """

    system: str
    categories: tuple[str, ...]
    columns: Mapping[str, Array]

    def rows(self, column: str) -> list[int | None]:
        """Of which a figure has a series: the mean over categories (None), and of a metric each
        category by position.
        """
        if column not in METRICS or len(self.categories) == 1:
            return [None]
        return [None, *range(len(self.categories))]


def history_of(nights: Sequence[RecordedRun]) -> list[Series]:
    """All series of the nights: per system the mean of every metric, stage and memory, and every
    metric of each category.
    """
    newest_first = dict.fromkeys(
        (system.method, system.shots)
        for night in reversed(nights)
        for system in night.results.systems
    )
    wanted = []
    for method, shots in newest_first:
        history = _system_history(nights, method, shots)
        for column in history.columns:
            wanted += [(history, column, row) for row in history.rows(column)]
    return [_series(history, column, row, len(wanted)) for history, column, row in wanted]


def _system_history(nights: Sequence[RecordedRun], method: str, shots: int) -> SystemHistory:
    systems = [_system_of(night, method, shots) for night in nights]
    having = [(night, system) for night, system in zip(nights, systems, strict=True) if system]
    newest = having[-1][1]
    categories = _common([night.results.categories for night, _ in having])
    seeds = _common([system.seeds for _, system in having])
    places = frozenset(product(categories, seeds))
    everywhere = Pair(newest, newest, categories, seeds, places, len(categories))
    empty = np.full((len(categories), len(seeds)), np.nan)
    columns = {}
    for column in (*METRICS, *COSTS):
        by_night = [
            figures(night.results, system, everywhere, column) if system else empty
            for night, system in zip(nights, systems, strict=True)
        ]
        if np.isfinite(by_night).any():
            columns[column] = np.stack(by_night)
    return SystemHistory(newest.label, categories, columns)


def _system_of(night: RecordedRun, method: str, shots: int) -> System | None:
    key = (method, shots)
    systems = (one for one in night.results.systems if (one.method, one.shots) == key)
    return next(systems, None)


def _common(planned: Sequence[tuple[Name, ...]]) -> tuple[Name, ...]:
    """What all nights planned; where that is nothing, what the newest did."""
    shared = set(planned[-1]).intersection(*planned)
    return tuple(sorted(shared)) or planned[-1]


def _series(history: SystemHistory, column: str, row: int | None, count: int) -> Series:
    """One of `count` series. `row`: of the category, None for the mean over them."""
    trials = history.columns[column]
    if row is not None:
        trials = trials[:, row : row + 1]
    by_seed = trials.mean(axis=1)
    values = by_seed.mean(axis=-1)
    spread = np.full(len(values), np.nan)
    if by_seed.shape[-1] > 1:
        spread = by_seed.std(axis=-1, ddof=1)
    category = None if row is None else history.categories[row]
    changes = tuple(_change_points(values, trials, column, count))
    return Series(history.system, column, category, values, spread, changes)


def _change_points(values: Array, trials: Array, column: str, count: int) -> Iterator[ChangePoint]:
    """The changes of level of `values` (nights,), the means of `trials` (nights, categories,
    seeds), over the nights that have the figure, counted among all nights. A cost changes by a
    factor, so its levels are geometric means.
    """
    there: NDArray[np.int_] = np.flatnonzero(np.isfinite(values))
    if len(there) < 2:
        return
    if column in METRICS:
        spread = _metric_spread(values[there], trials[there])
        for step in find_change_points(values[there], spread, series=count):
            yield ChangePoint(int(there[step.night]), step.before, step.after)
        return
    logs = np.log(np.maximum(values[there], 1e-9))
    spread = spread_of(logs, LEAST_COST)
    calm = without_spikes(logs, spread)
    for step in find_change_points(calm, spread, series=count, shortest=SHORTEST_COST):
        before, after = float(np.exp(step.before)), float(np.exp(step.after))
        yield ChangePoint(int(there[step.night]), before, after)


def _metric_spread(values: Array, trials: Array) -> Spread:
    """From what night and seed leave unexplained, as in the gate; from successive nights where
    there is one seed. Shapes as in `_change_points`.
    """
    noise = noise_between_nights(trials)
    if not noise.freedom.all():
        return spread_of(values, LEAST_METRIC)
    seeds, categories = trials.shape[-1], trials.shape[-2]
    squared = float((noise.variance / 2 / seeds).sum()) / categories**2
    return Spread(max(squared**0.5, LEAST_METRIC), float(noise.freedom.sum()))


def between(before: RecordedRun, after: RecordedRun) -> tuple[str, ...]:
    """What differs between two nights, as the code revisions: `code abc1234 → def5678`."""
    return (*what_differs(after, before), *_settings(before, after))


def _settings(before: RecordedRun, after: RecordedRun) -> Iterator[str]:
    images = before.info.diff(after.info).fingerprints
    if images:
        yield f"the images of {', '.join(sorted(images))}"
    old, new = before.results.settings, after.results.settings
    for name in sorted({*old, *new} - {"methods"}):
        if old.get(name) != new.get(name):
            yield f"{name} {old.get(name)} → {new.get(name)}"
    old_methods, new_methods = old.get("methods", {}), new.get("methods", {})
    for name in sorted(old_methods.keys() & new_methods.keys()):
        if old_methods[name] != new_methods[name]:
            yield f"the settings of {name}"
