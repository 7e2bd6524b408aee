"""Ranks, groups and their tests, against scipy."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from apc_bench.statistics.differences import holm
from apc_bench.statistics.ranking import LEVEL, rank


def systems(table):
    return [
        {f"c{row:02d}": float(value) for row, value in enumerate(column)}
        for column in np.asarray(table).T
    ]


def test_ranks_and_p_values_are_scipys():
    table = (
        np.random.default_rng(4).normal((0.9, 0.92, 0.9, 0.93), 0.02, (14, 4)).round(2)
    )  # with ties, of figures and of differences
    found = rank(systems(table))
    by_hand = [
        [1 + (row > one).sum() + ((row == one).sum() - 1) / 2 for one in row]
        for row in table.round(9)
    ]
    assert found.ranks == pytest.approx(np.mean(by_hand, axis=0)) and found.categories == 14
    assert found.friedman == pytest.approx(oracle.friedmanchisquare(*table.round(9).T).pvalue)
    raw = [
        oracle.wilcoxon((table[:, one] - table[:, other]).round(9)).pvalue
        for one, other in combinations(range(4), 2)
    ]
    assert list(found.pairs.values()) == pytest.approx(holm(raw))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(3, 6), st.integers(6, 12))
def test_a_group_is_a_largest_run_of_systems_that_cannot_be_told_apart(seed, count, categories):
    table = np.random.default_rng(seed).normal(size=(categories, count)) + np.linspace(0, 3, count)
    found = rank(systems(table))
    order = sorted(range(count), key=lambda index: (found.ranks[index], index))

    def alike(group):
        return all(found.pairs[min(pair), max(pair)] >= LEVEL for pair in combinations(group, 2))

    runs = [
        tuple(order[start:end])
        for start in range(count)
        for end in range(start + 2, count + 1)
        if alike(order[start:end])
    ]
    largest = [run for run in runs if not any(set(run) < set(other) for other in runs)]
    assert set(found.groups) == set(largest)


def test_too_little_for_a_claim_says_so():
    assert rank(systems(np.eye(5)[:, :2])) is None
    few = rank(systems(np.arange(15.0).reshape(5, 3)))
    assert (
        few.groups is None and few.pairs == {} and few.reason == "fewer than 6 categories: no test"
    )
    same = rank(systems(np.ones((8, 3))))
    assert same.ranks == (2, 2, 2) and same.friedman is None and same.groups == ((0, 1, 2),)
