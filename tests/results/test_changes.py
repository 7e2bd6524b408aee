"""Differences that are beyond chance, and as they are printed."""

import pytest

from apc_bench.results.changes import Change, beyond, beyond_chance


def test_beyond_chance_takes_p_and_interval_and_one_alone_is_the_edge() -> None:
    clear = Change([1.0] * 10)
    assert (clear.beyond_chance, clear.on_the_edge) == (True, False)
    few = Change([1.0] * 5)  # p = 2 / 2^5
    assert few.p == pytest.approx(0.0625)
    assert few.interval[0] > 0
    assert (few.beyond_chance, few.on_the_edge) == (False, True)
    nothing = Change([1.0, -1.0] * 5)
    assert (nothing.beyond_chance, nothing.on_the_edge) == (False, False)
    assert not beyond(0.01, (-0.01, 0.2))
    assert beyond(0.01, (-0.2, -0.01))


def test_a_family_is_corrected_and_its_members_intervals_leave_out_0() -> None:
    one = Change([1.0] * 6)  # p = 2 / 2^6
    assert beyond_chance({"a": one}) == {"a"}
    assert beyond_chance({"a": one, "b": Change([0.0] * 6)}) == set()  # 2 × 0.031


def test_a_printed_difference_is_that_of_the_printed_numbers() -> None:
    change = Change.between({"x": 0.6042}, {"x": 0.7083})
    assert 100 * change.printed() == pytest.approx(60 - 71)
    assert 100 * change.printed(1) == pytest.approx(60.4 - 70.8)
