"""Nights as series: every metric and every stage's time by night, with the spread over seeds and
the changes of level.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from apc_bench.gate.gate import what_differs
from apc_bench.metrics.catalogue import COSTS, METRICS
from apc_bench.results.aggregate import System
from apc_bench.results.pairing import Pair, figures
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.change_points import (
    Array,
    ChangePoint,
    Spread,
    find_change_points,
    spread_of,
    without_spikes,
)
from apc_bench.statistics.variance import noise_between_nights

Name = TypeVar("Name", str, int)
LEAST_METRIC, LEAST_COST = 1e-4, 0.02
"""The least noise that is believed: a hundredth of a percentage point, and two percent of time or
memory.
"""
SHORTEST_COST = 3
"""Nights that a level of time or memory lasts; a machine may be busy for one or two."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One figure of one system by night: `values` (nights,), NaN where a night lacks it, and
    `spread`: the standard deviation over seeds (ddof 1).

    `column`: of the metrics table; `category` None: mean over the categories that all nights
    planned. `steps`: changes of level, nights counted as in `values`.
    """

    system: str
    column: str
    category: str | None
    values: Array
    spread: Array
    steps: tuple[ChangePoint, ...]

    @property
    def is_metric(self) -> bool:
        return self.column in METRICS


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A system's figures on all nights, (nights, categories, seeds): what every night planned, NaN
    where a trial is missing.
    """

    system: str
    categories: tuple[str, ...]
    columns: dict[str, Array]


def history_of(nights: Sequence[RecordedRun]) -> list[Series]:
    """All series of the nights: per system the mean of every metric, stage and memory, and every
    metric of each category.
    """
    tables = _tables(nights)
    wanted = [
        (table, column, row)
        for table in tables
        for column in table.columns
        for row in (
            [None, *range(len(table.categories))]
            if column in METRICS and len(table.categories) > 1
            else [None]
        )
    ]
    return [_series(table, column, row, len(wanted)) for table, column, row in wanted]


def _tables(nights: Sequence[RecordedRun]) -> list[Table]:
    keys = dict.fromkeys(
        (system.method, system.shots)
        for night in reversed(nights)
        for system in night.results.systems
    )
    return [_table(nights, key) for key in keys]


def _table(nights: Sequence[RecordedRun], key: tuple[str, int]) -> Table:
    systems = [
        next((one for one in night.results.systems if (one.method, one.shots) == key), None)
        for night in nights
    ]
    there = [
        (night, system) for night, system in zip(nights, systems, strict=True) if system is not None
    ]
    categories = _common([night.results.categories for night, _ in there])
    seeds = _common([system.seeds for _, system in there])
    pair = _everywhere(there[-1][1], categories, seeds)
    empty = np.full((len(categories), len(seeds)), np.nan)
    columns = {
        column: np.stack(
            [
                figures(night.results, system, pair, column) if system else empty
                for night, system in zip(nights, systems, strict=True)
            ]
        )
        for column in (*METRICS, *COSTS)
    }
    return Table(
        there[-1][1].label,
        categories,
        {column: values for column, values in columns.items() if np.isfinite(values).any()},
    )


def _common(planned: Sequence[tuple[Name, ...]]) -> tuple[Name, ...]:
    """What all nights planned; where that is nothing, what the newest did."""
    shared = set(planned[-1]).intersection(*planned)
    return tuple(sorted(shared)) or planned[-1]


def _everywhere(system: System, categories: tuple[str, ...], seeds: tuple[int, ...]) -> Pair:
    return Pair(
        system,
        system,
        categories,
        seeds,
        frozenset((category, seed) for category in categories for seed in seeds),
        len(categories),
    )


def _series(table: Table, column: str, row: int | None, count: int) -> Series:
    values = table.columns[column] if row is None else table.columns[column][:, row : row + 1]
    by_seed = values.mean(axis=1)
    found = by_seed.mean(axis=-1)
    spread = by_seed.std(axis=-1, ddof=1) if by_seed.shape[-1] > 1 else np.full(len(found), np.nan)
    steps = _steps(found, values, column, count)
    return Series(
        table.system,
        column,
        None if row is None else table.categories[row],
        found,
        spread,
        tuple(steps),
    )


def _steps(found: Array, values: Array, column: str, count: int) -> list[ChangePoint]:
    """The changes of level over the nights that have the figure, counted among all nights."""
    there: NDArray[np.int_] = np.flatnonzero(np.isfinite(found))
    if len(there) < 2:
        return []
    if column in METRICS:
        steps = find_change_points(
            found[there], _metric_spread(found[there], values[there]), series=count
        )
    else:
        logs = np.log(np.maximum(found[there], 1e-9))
        spread = spread_of(logs, LEAST_COST)
        steps = find_change_points(
            without_spikes(logs, spread), spread, series=count, shortest=SHORTEST_COST
        )
        steps = [
            ChangePoint(step.night, float(np.exp(step.before)), float(np.exp(step.after)))
            for step in steps
        ]
    return [ChangePoint(int(there[step.night]), step.before, step.after) for step in steps]


def _metric_spread(found: Array, values: Array) -> Spread:
    """From what night and seed leave unexplained, as in the gate; from successive nights where
    there is one seed.
    """
    noise = noise_between_nights(values)
    if not noise.freedom.all():
        return spread_of(found, LEAST_METRIC)
    seeds, categories = values.shape[-1], values.shape[-2]
    squared = float((noise.variance / 2 / seeds).sum()) / categories**2
    return Spread(max(squared**0.5, LEAST_METRIC), float(noise.freedom.sum()))


def between(before: RecordedRun, after: RecordedRun) -> tuple[str, ...]:
    """What differs between two nights, as the code revisions: `code abc1234 → def5678`."""
    return (*what_differs(after, before), *_settings(before, after))


def _settings(before: RecordedRun, after: RecordedRun) -> Iterable[str]:
    changed = before.info.diff(after.info).fingerprints
    if changed:
        yield f"the images of {', '.join(sorted(changed))}"
    old, new = before.results.settings, after.results.settings
    yield from (
        f"{name} {old.get(name)} → {new.get(name)}"
        for name in sorted({*old, *new} - {"methods"})
        if old.get(name) != new.get(name)
    )
    methods = old.get("methods", {}), new.get("methods", {})
    yield from (
        f"the settings of {name}"
        for name in sorted({*methods[0]} & {*methods[1]})
        if methods[0][name] != methods[1][name]
    )
