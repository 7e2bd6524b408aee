"""Shares of a few defects and chance, against scipy and brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from apc_bench.statistics.proportions import paired_interval, sign_test, wilson


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_interval_of_a_share_is_scipys(number, data):
    hits = data.draw(st.integers(0, number))
    expected = stats.binomtest(hits, number).proportion_ci(method="wilson")
    assert wilson(hits / number, number) == pytest.approx((expected.low, expected.high))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 20))
def test_chance_of_found_or_not_is_mcnemars_exact_test(up, down, ties):
    gains = [1.0] * up + [-1.0] * down + [0.0] * ties
    if up + down > 13:
        return
    expected = stats.binomtest(up, up + down).pvalue if up + down else 1.0
    assert sign_test(gains) == pytest.approx(expected)


def test_chance_of_shares_is_that_of_all_signs():
    gains = [0.4, -0.2, 0.6, 0.2, 0.0, 1.0]
    signs = itertools.product((-1, 1), repeat=5)
    means = [abs(np.dot(sign, [0.4, -0.2, 0.6, 0.2, 1.0])) for sign in signs]
    assert sign_test(gains) == pytest.approx(np.mean(np.array(means) >= 2.0 - 1e-9))


def test_the_interval_of_a_difference_is_bonett_and_prices_and_has_a_width_where_nothing_differs():
    gains = [1.0] * 14 + [-1.0] * 3 + [0.0] * 33
    up, down, n = 15 / 52, 4 / 52, 52
    reach = stats.norm.ppf(0.975) * np.sqrt((up + down - (up - down) ** 2) / n)
    assert paired_interval(gains) == pytest.approx((up - down - reach, up - down + reach))
    low, high = paired_interval([0.0] * 10)
    assert low == -high
    assert high > 0.1


def test_of_shares_over_seeds_the_interval_is_by_their_squares_and_so_agrees_with_p() -> None:
    gains = [1 / 3] * 12 + [-1 / 3] * 3 + [0.0] * 45
    low, high = paired_interval(gains)
    added = [*gains, 1.0, -1.0]
    reach = stats.norm.ppf(0.975) * np.std(added) / np.sqrt(62)
    assert (low, high) == pytest.approx((np.mean(added) - reach, np.mean(added) + reach))
