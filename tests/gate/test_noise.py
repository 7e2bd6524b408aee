"""The gate's numbers against independent oracles, and its promises by simulation (all settings:
tests/bench/gate.py).
"""

import numpy as np
import pytest
from bench.gate import World, simulate
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from apc_bench.gate.verdict import ALARMS, judge, seeds_needed
from apc_bench.statistics.variance import (
    Noise,
    moderated,
    noise_between_nights,
    noise_of,
    noise_over_seeds,
    repeats,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(2, 6))
def test_the_noise_of_a_pair_is_the_variance_of_its_differences(seed: int, count: int) -> None:
    differences = np.random.default_rng(seed).normal(size=(3, count))
    found = noise_over_seeds(differences)
    assert found.variance == pytest.approx(differences.var(axis=-1, ddof=1))
    assert found.freedom.tolist() == [count - 1] * 3


@given(seeds)
def test_two_recorded_nights_tell_what_their_differences_tell(seed: int) -> None:
    nights = np.random.default_rng(seed).normal(size=(2, 4, 3))
    by_night, by_seed = noise_between_nights(nights), noise_over_seeds(nights[1] - nights[0])
    assert by_night.variance == pytest.approx(by_seed.variance)
    assert by_night.freedom.tolist() == by_seed.freedom.tolist()


@given(seeds, st.integers(2, 7), st.integers(2, 5))
def test_the_noise_of_nights_is_what_night_and_seed_leave_unexplained(
    seed: int, nights: int, count: int
) -> None:
    """Least squares on the additive model, by numpy's solver."""
    values = np.random.default_rng(seed).normal(size=(nights, 1, count))
    design = [
        [*np.eye(nights)[night], *np.eye(count)[one]]
        for night in range(nights)
        for one in range(count)
    ]
    left = (
        values.ravel()
        - np.array(design) @ np.linalg.lstsq(np.array(design), values.ravel(), rcond=None)[0]
    )
    found = noise_between_nights(values)
    assert found.freedom == (nights - 1) * (count - 1)
    assert found.variance == pytest.approx(2 * (left**2).sum() / found.freedom)


def test_a_step_in_the_history_a_repeated_night_and_a_missing_seed_are_no_noise() -> None:
    nights = np.random.default_rng(0).normal(size=(6, 3, 4))
    stepped = nights + np.where(np.arange(6) < 3, 0.0, -5.0)[:, None, None]
    assert noise_between_nights(stepped).variance == pytest.approx(
        noise_between_nights(nights).variance
    )
    with_more = np.concatenate([nights, nights[2:3], np.full((1, 3, 4), np.nan)])
    assert np.array_equal(noise_between_nights(with_more), noise_between_nights(nights))
    assert repeats(with_more)[:, 0].tolist() == [False] * 6 + [True, False]


def test_categories_lend_each_other_what_they_know_and_never_more_than_they_have() -> None:
    even = moderated(Noise(np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 2.0)))
    assert (even.variance > 0.85).all() and (even.variance < 1.2).all()
    assert (even.freedom <= 8).all() and (even.freedom > 2).all()
    alone = moderated(Noise(np.array([2.0]), np.array([3.0])))
    assert (alone.variance, alone.freedom) == (2.0, 3.0)
    silent = moderated(Noise(np.array([1.0, 1.0, np.nan]), np.array([4.0, 4.0, 0.0])))
    assert silent.variance[2] == pytest.approx(1.0, rel=0.05) and silent.freedom[2] > 0
    nothing = moderated(Noise(np.full(3, np.nan), np.zeros(3)))
    assert np.isnan(nothing.variance).all() and not nothing.freedom.any()


def test_the_prior_is_smyths_moments() -> None:
    """fitFDist of limma, written out for equal degrees of freedom: variances drawn with a known
    prior give it back.
    """
    generator, prior, freedom = np.random.default_rng(1), 6.0, 4.0
    true = prior / generator.chisquare(prior, (200, 400))
    found = moderated(
        Noise(
            true * generator.chisquare(freedom, true.shape) / freedom, np.full(true.shape, freedom)
        )
    )
    assert np.median(found.freedom) == pytest.approx(prior + freedom, rel=0.15)


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


def test_a_repetition_to_the_last_bit_says_so_and_is_bounded_by_the_spread_over_seeds() -> None:
    values = np.random.default_rng(3).normal(size=(4, 3))
    noise, origin = noise_of(np.zeros((4, 3)), np.empty((0, 4, 3)), values)
    assert "to the last bit" in origin.words
    assert noise.variance == pytest.approx(2 * values.var(axis=-1, ddof=1))


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
