"""The noise of a difference of two nights, against numpy by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_repetition_to_the_last_bit_says_so_and_is_bounded_by_the_spread_over_seeds() -> None:
    values = np.random.default_rng(3).normal(size=(4, 3))
    noise, origin = noise_of(np.zeros((4, 3)), np.empty((0, 4, 3)), values)
    assert "to the last bit" in origin.words
    assert noise.variance == pytest.approx(2 * values.var(axis=-1, ddof=1))
