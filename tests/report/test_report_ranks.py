"""Ranks of three or more systems, resampled intervals, and what simulation says of the report's
statistics.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from bench.statistics import World, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from apc_bench.report.rank_diagram import rank_diagram
from apc_bench.results.reading import read_results
from apc_bench.statistics.differences import holm
from apc_bench.statistics.ranking import LEVEL, rank
from apc_bench.statistics.resampling import expanded, resampled_interval
from apc_bench.tables.ranks import ranked, ranks

Make = Callable[..., Any]

MANY = {
    f"m{index}": {"detector": "patchcore", "backbone": "builtin", "title": f"Method {index}"}
    for index in range(4)
}


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


def test_the_table_and_the_diagram_of_a_run(make_run: Make) -> None:
    run = make_run(categories=[f"part{index}" for index in range(8)], methods=MANY, detail=False)
    for row in run.metric_rows:
        row["image_auroc"] = 0.6 + 0.1 * int(row["method"][1]) + 0.01 * row["seed"]
    results = read_results(run)
    table = ranks(results)
    assert [row.cells[2].values[0] for row in table.rows] == [4, 3, 2, 1]
    text = " ".join(note.text for note in table.notes)
    assert "8 categories; Friedman p < 0.001; differ: Method 0 and Method 1 (p 0.047)" in text
    assert (
        ranked(results, "image_auroc").ranking.groups == () and len(rank_diagram(results).axes) == 2
    )


def test_few_categories_are_ranked_without_a_claim_and_a_single_one_not_at_all(
    make_run: Make,
) -> None:
    few = read_results(make_run(detail=False))
    assert "2 categories; too few for a claim" in " ".join(note.text for note in ranks(few).notes)
    assert "too few to tell apart" in rank_diagram(few).axes[0].get_title(loc="left")
    one = read_results(make_run(categories=("granite",), detail=False))
    assert ranks(one) is None and rank_diagram(one) is None


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
