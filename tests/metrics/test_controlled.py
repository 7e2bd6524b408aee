"""The threshold that images which were learned from help to set, against plain loops, and its
promise.
"""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.metrics.controlled import Control, calibrated, expected_scores
from apc_bench.metrics.exact import calibrated_threshold

SCALES = {"distance": np.square, "squared distance": lambda d: d, "logarithm": np.exp}
"""A unit of the scores -> the squared distance that a score is of."""


def drawn(seed: int, count: int, agreement: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores and squared distances, whose logarithms have this correlation with the scores."""
    shared, own = np.random.default_rng(seed).normal(size=(2, count))
    return agreement * shared + math.sqrt(1 - agreement**2) * own, np.exp(shared)


@pytest.mark.parametrize("unit", SCALES)
@given(seed=st.integers(0, 10**6), held_out=st.integers(19, 60), learned=st.integers(1, 80))
def test_where_a_score_is_but_a_distance_all_images_calibrate(unit, seed, held_out, learned):
    scores = np.random.default_rng(seed).uniform(0.1, 3, held_out + learned)
    distances = SCALES[unit](scores)
    control = Control(distances[:held_out], distances[held_out:])
    found = calibrated(scores[:held_out], control, alpha=0.05).value
    assert found == pytest.approx(calibrated_threshold(scores, alpha=0.05).value, rel=1e-6)


@pytest.mark.parametrize("agreement", [0.0, 0.6, 0.95])
def test_it_is_the_quantile_of_all_that_is_expected_with_what_differed(agreement):
    """The line is refitted for each image that is left out, on each of three scales."""
    scores, distances = drawn(3, 130, agreement)
    own, fits = scores[:30], []
    for x in (distances, np.sqrt(distances), np.log(distances)):
        slope, start = np.polyfit(x[:30], own, 1)
        expected, residuals = start + slope * x, []
        for left_out in range(30):
            others = np.delete(np.arange(30), left_out)
            slope, start = np.polyfit(x[others], own[others], 1)
            residuals.append(own[left_out] - start - slope * x[left_out])
        fits.append((np.square(residuals).sum(), expected, residuals))
    _, expected, residuals = min(fits, key=lambda fit: fit[0])
    variances = np.var(expected), np.var(residuals)
    worth = sum(variances) / (variances[0] / 130 + variances[1] / 30)
    level = 0.9 * (1 + 1 / worth)
    sums = sorted(one + other for one in expected for other in residuals)
    control = Control(distances[:30], distances[30:])
    found_expected, found_residuals = expected_scores(own, control)
    assert np.allclose(found_expected, expected)
    assert np.allclose(found_residuals, residuals)
    found = calibrated(own, control, alpha=0.1).value
    assert found == pytest.approx(sums[math.ceil(level * len(sums)) - 1])


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("held_out", "learned"), [(20, 28), (27, 240)])
def test_it_keeps_its_promise_on_average_and_varies_less(held_out, learned, agreement):
    rates: dict[str, list[float]] = {"alone": [], "controlled": []}
    for seed in range(300):
        scores, distances = drawn(seed, held_out + learned, agreement)
        control = Control(distances[:held_out], distances[held_out:])
        new, _ = drawn(seed + 10_000, 2000, agreement)
        for name, known in (("alone", None), ("controlled", control)):
            threshold = calibrated(scores[:held_out], known, alpha=0.05).value
            rates[name].append((new > threshold).mean())
    assert np.mean(rates["controlled"]) < 0.05
    assert np.std(rates["controlled"]) < np.std(rates["alone"])


def test_of_a_hundred_thousand_images_the_sums_are_never_held():
    """10,000 held out: a billion sums."""
    scores, distances = drawn(0, 100_000, 0.9)
    control = Control(distances[:10_000], distances[10_000:])
    tracemalloc.start()
    found = calibrated(scores[:10_000], control, alpha=0.05).value
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20
    assert found == pytest.approx(1.645, abs=0.03)  # of a normal distribution


def test_too_few_images_of_its_own_set_none_however_many_were_learned_from():
    found = calibrated(np.arange(18.0), Control(np.arange(18.0), np.arange(500.0)), alpha=0.05)
    assert found.value is None
    assert "18 calibration images" in found.reason


@pytest.mark.parametrize(
    ("scores", "distances"),
    [(np.ones(30), np.ones(30)), (np.arange(30.0), np.zeros(30)), (np.ones(30), np.arange(30.0))],
    ids=["all alike", "distances alike", "scores alike"],
)
def test_what_does_not_vary_is_no_error(scores, distances):
    found = calibrated(scores, Control(distances, np.zeros(50)), alpha=0.05).value
    assert found is not None
    assert np.isfinite(found)


def test_without_learned_images_those_that_took_no_part_are_all():
    scores = np.random.default_rng(0).normal(size=40)
    expected = calibrated_threshold(scores, alpha=0.1).value
    assert calibrated(scores, None, alpha=0.1).value == expected
    assert calibrated(scores, Control(np.ones(40), np.zeros(0)), alpha=0.1).value == expected
