"""The gate's judgement of numbers: its promises, on thousands of nights."""

import numpy as np
import pytest
from bench.gate import World, simulate
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from apc_bench.gate.verdict import ALARMS, judge, seeds_needed
from apc_bench.statistics.variance import (
    Noise,
    noise_of,
    noise_over_seeds,
)

seeds = st.integers(0, 2**32 - 1)


def test_one_category_is_students_paired_test() -> None:
    before, after = np.random.default_rng(2).normal(size=(2, 6))
    differences = (after - before)[None]
    judged = judge(differences, noise_over_seeds(differences), tolerance=0.0, tests=1)
    oracle = stats.ttest_rel(after, before)
    assert judged.change[0] / judged.error[0] == pytest.approx(oracle.statistic)
    assert judged.noise[0] == pytest.approx(stats.t.isf(ALARMS, 5) * judged.error[0])


def test_the_mean_of_two_even_categories_has_the_degrees_of_freedom_of_both() -> None:
    noise = Noise(np.array([1.0, 1.0]), np.array([4.0, 4.0]))
    judged = judge(np.ones((2, 5)), noise, tolerance=0.0, tests=3)
    assert judged.freedom[2] == pytest.approx(8)  # Welch and Satterthwaite
    assert judged.error[2] == pytest.approx(np.sqrt(1 / 5 / 2))


@given(seeds, st.floats(0.01, 100))
def test_verdicts_do_not_depend_on_the_scale_nor_on_the_order_of_categories(
    seed: int, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    differences = generator.normal(size=(5, 3))
    order = generator.permutation(5)

    def judged(values: np.ndarray, tolerance: float) -> np.ndarray:
        found = judge(values, noise_over_seeds(values), tolerance=tolerance, tests=6)
        return np.stack([found.change, found.limit, found.detectable])

    plain = judged(differences, 0.1)
    assert judged(scale * differences, 0.1 * scale) == pytest.approx(scale * plain, rel=1e-6)
    assert judged(differences[order], 0.1) == pytest.approx(plain[:, [*order, 5]], rel=1e-6)


def test_the_seeds_that_would_do_bring_the_noise_below_the_tolerance() -> None:
    generator = np.random.default_rng(4)
    differences = generator.normal(size=(15, 4))
    judged = judge(differences, noise_over_seeds(differences), tolerance=1.0, tests=16)
    needed = seeds_needed(judged, 0, 4, 1.0, 16)
    assert needed is not None and needed > 4
    more = generator.normal(size=(15, 2 * needed))
    assert judge(more, noise_over_seeds(more), tolerance=1.0, tests=16).noise[0] < 1.0
    assert seeds_needed(judged, 0, 4, 0.0, 16) is None


@pytest.mark.parametrize("recorded", [1, 10], ids=["a run alone", "ten nights"])
@pytest.mark.parametrize(("spread", "count"), [(0.3, 3), (0.5, 5), (1.0, 10)])
def test_two_thousand_nights_give_few_alarms_and_the_printed_drop_is_found(
    recorded: int, spread: float, count: int
) -> None:
    found = simulate(World(spread, count, recorded=recorded))
    assert found.alarms <= 0.01
    assert found.rises <= 0.01
    assert found.power >= 0.95


@pytest.mark.parametrize(
    "world",
    [
        World(0.5, 3, uneven=1.0),
        World(0.5, 3, tails=True),
        World(0.5, 3, categories=1),
        World(0.5, 4, metrics=12),
    ],
)
def test_no_more_alarms_where_categories_are_uneven_tails_heavy_or_figures_many(
    world: World,
) -> None:
    assert simulate(world).alarms <= 0.01


def test_a_gate_that_alarms_at_half_the_limit_would_break_the_promise() -> None:
    """The simulation can fail: with limits half as wide it does."""
    world = World(0.5, 5, recorded=10)
    spreads = world.spreads()
    nights = world.draw(spreads, 10)
    differences = world.draw(spreads, 1)[:, 0] - nights[:, -1]
    judged = judge(
        differences, noise_of(differences, nights, nights[:, -1])[0], tolerance=0.0, tests=16
    )
    assert (judged.change < -judged.limit / 2).any(-1).mean() > 0.05
