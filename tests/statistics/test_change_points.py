"""Changes of level: planted ones are found where they are, noise shows none, and the partition is
the best there is.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from apc_bench.statistics.change_points import (
    FALSE,
    Spread,
    find_change_points,
    spread_of,
    without_spikes,
)

seeds = st.integers(0, 2**32 - 1)
KNOWN = Spread(1.0, math.inf)


def cost(values: np.ndarray, edges: tuple[int, ...], penalty: float) -> float:
    levels = zip((0, *edges), (*edges, len(values)), strict=True)
    return sum(
        float(((values[a:b] - values[a:b].mean()) ** 2).sum()) for a, b in levels
    ) + penalty * len(edges)


@given(seeds, st.integers(2, 9))
def test_the_levels_are_the_cheapest_of_all_partitions(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=count) + 6 * generator.integers(0, 3, count)
    penalty = stats.norm.isf(FALSE / (2 * count)) ** 2
    every = [
        edges for size in range(count) for edges in itertools.combinations(range(1, count), size)
    ]
    found = tuple(step.night for step in find_change_points(values, KNOWN))
    assert cost(values, found, penalty) == pytest.approx(
        min(cost(values, edges, penalty) for edges in every)
    )


@pytest.mark.parametrize("count", [4, 20, 120])
@pytest.mark.parametrize("estimated", [False, True], ids=["noise known", "noise estimated"])
def test_at_most_one_history_in_a_hundred_shows_a_change_where_there_is_none(
    count: int, estimated: bool
) -> None:
    nights = np.random.default_rng(count).normal(size=(1000, count))
    shown = [
        find_change_points(one, spread_of(one, 1e-9) if estimated else KNOWN) for one in nights
    ]
    assert sum(map(bool, shown)) <= 10


@given(seeds, st.integers(10, 60), st.data())
def test_a_step_of_eight_deviations_is_found_where_it_is_and_with_its_size(
    seed: int, count: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, count - 1))
    values = np.random.default_rng(seed).normal(size=count) - 8.0 * (np.arange(count) >= at)
    largest = max(find_change_points(values, KNOWN), key=lambda step: abs(step.change))
    assert abs(largest.night - at) <= 1
    if 3 <= at <= count - 3:
        assert largest.change == pytest.approx(-8, abs=4)


@given(seeds, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_neither_unit_nor_zero_point_matters(seed: int, unit: float, zero: float) -> None:
    values = np.random.default_rng(seed).normal(size=30) + 10.0 * (np.arange(30) > 17)
    moved = find_change_points(zero + unit * values, Spread(unit, math.inf))
    assert [step.night for step in moved] == [
        step.night for step in find_change_points(values, KNOWN)
    ]
    assert 18 in [step.night for step in moved]


def test_a_night_or_two_on_a_busy_machine_is_no_level_and_three_are() -> None:
    values = 0.05 * np.random.default_rng(0).normal(size=40)
    spread = spread_of(values, 0.02)
    for nights in (1, 2):
        busy = values.copy()
        busy[20 : 20 + nights] += 1
        assert find_change_points(without_spikes(busy, spread), spread, shortest=3) == []
    busy = values + 1.0 * ((np.arange(40) >= 20) & (np.arange(40) < 30))
    assert [
        step.night for step in find_change_points(without_spikes(busy, spread), spread, shortest=3)
    ] == [20, 30]


def test_a_history_without_noise_has_the_least_that_is_believed() -> None:
    still = np.full(10, 0.8)
    assert spread_of(still, 1e-4).deviation == 1e-4
    assert find_change_points(still, spread_of(still, 1e-4)) == []
    assert [
        step.night
        for step in find_change_points(np.where(np.arange(10) < 6, 0.8, 0.79), Spread(1e-4, 50.0))
    ] == [6]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_short_a_history_says_nothing(count: int) -> None:
    assert find_change_points(np.zeros(count), spread_of(np.zeros(count), 1.0), shortest=2) == []
