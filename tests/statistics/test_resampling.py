"""Resampled intervals, and what simulation says of the report's statistics."""

import numpy as np
import pytest
from bench.statistics import World, simulate
from scipy import stats as oracle

from apc_bench.statistics.resampling import expanded, resampled_interval


def test_a_resampled_interval_is_the_t_interval_where_means_are_normal_and_the_same_every_time():
    values = np.random.default_rng(2).normal(1, 1, (40, 3)) + np.random.default_rng(3).normal(
        0, 1, (40, 1)
    )
    found = resampled_interval(values)
    expected = oracle.t.interval(0.95, 39, values.mean(), values.mean(1).std(ddof=1) / np.sqrt(40))
    assert found == resampled_interval(values.tolist()) and found == pytest.approx(
        expected, abs=0.08
    )
    assert resampled_interval(values[:5]) is None
    assert expanded(10**6) == pytest.approx((0.025, 0.975), abs=1e-5) and expanded(15)[
        0
    ] == pytest.approx(0.0132, abs=1e-3)


def test_intervals_cover_and_the_test_does_not_claim_too_much():
    """The promise of the whole simulation (reports/statistics), on fewer reports."""
    found = simulate(World(), 700)
    assert 0.93 <= found.t <= 0.97 and 0.93 <= found.resampled <= 0.97
    assert found.false_positives <= 0.06 and found.family <= 0.07
    assert found.pairs < 0.85  # what the report would print, were seeds taken for categories
