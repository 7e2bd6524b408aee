"""Means, paired differences and their tests, against numpy and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from apc_bench.statistics.differences import deviation, holm, mean, paired_difference, t_interval

values = st.lists(st.floats(-1, 1), min_size=2, max_size=20)


@given(values)
def test_mean_and_deviation_are_numpys(numbers: list[float]) -> None:
    assert mean(numbers) == pytest.approx(np.mean(numbers), abs=1e-12)
    assert deviation(numbers) == pytest.approx(np.std(numbers, ddof=1), abs=1e-12)


@given(values, st.randoms())
def test_no_figure_depends_on_the_order_of_its_values(numbers: list[float], random: object) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert (mean(numbers), deviation(numbers), t_interval(numbers)) == (
        mean(shuffled),
        deviation(shuffled),
        t_interval(shuffled),
    )


def test_one_value_has_neither_deviation_nor_interval() -> None:
    assert deviation([0.5]) is None
    assert t_interval([0.5]) is None


def test_interval_and_p_are_scipys_on_paired_categories() -> None:
    generator = np.random.default_rng(1)
    method, baseline = generator.uniform(0.8, 1, 15), generator.uniform(0.75, 1, 15)
    names = [f"category{index:02d}" for index in range(15)]
    found = paired_difference(
        dict(zip(names, method, strict=True)), dict(zip(names, baseline, strict=True))
    )
    assert found is not None
    expected = oracle.ttest_rel(method, baseline).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(method - baseline))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p == pytest.approx(oracle.wilcoxon(method, baseline).pvalue)
    assert (found.wins, found.ties, found.losses) == (
        int((method > baseline).sum()),
        0,
        int((method < baseline).sum()),
    )


def test_only_shared_categories_are_compared() -> None:
    found = paired_difference({"a": 0.9, "b": 0.5, "c": 0.1}, {"b": 0.4, "a": 0.9, "d": 1.0})
    assert found is not None
    assert (found.mean, found.wins, found.ties, found.losses) == (pytest.approx(0.05), 1, 1, 0)
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


@pytest.mark.parametrize(
    ("count", "reason"),
    [(1, "one category: no claim"), (2, "fewer than 6 categories"), (5, "fewer than 6 categories")],
)
def test_too_few_categories_give_a_reason_instead_of_a_p(count: int, reason: str) -> None:
    names = [str(index) for index in range(count)]
    found = paired_difference(
        {name: 0.9 - 0.01 * index for index, name in enumerate(names)}, dict.fromkeys(names, 0.8)
    )
    assert found is not None
    assert (found.p, found.reason) == (None, reason)
    assert (found.low is None) == (count == 1)


def test_equal_methods_are_ties_and_no_test_is_made_of_them() -> None:
    same = {str(index): 0.1 * index for index in range(8)}
    found = paired_difference({name: value + 1e-16 for name, value in same.items()}, same)
    assert found is not None
    assert (found.p, found.reason, found.ties) == (None, "no category differs", 8)


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_is_the_definition(values: list[float | None]) -> None:
    known = [p for p in values if p is not None]
    order = sorted(range(len(known)), key=lambda index: known[index])
    expected = {
        index: max(min(1.0, known[order[j]] * (len(known) - j)) for j in range(rank + 1))
        for rank, index in enumerate(order)
    }
    found = [p for p in holm(values) if p is not None]
    assert found == pytest.approx([expected[index] for index in range(len(known))])
    assert [p is None for p in holm(values)] == [p is None for p in values]


def test_sums_are_exact() -> None:
    assert mean([1e16, 1.0, -1e16]) == 1 / 3
    assert math.isclose(mean([0.1] * 10), 0.1, abs_tol=0)
