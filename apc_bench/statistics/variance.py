"""How much a difference of two nights varies where nothing has changed, category by category, from
few seeds. Pure functions of arrays.

A night is a run with the same categories and seeds as another; the unit of everything here is a
*difference*, tonight minus the reference, in one category and one seed. Its variance is estimated
per category and then moderated: with three seeds a category's own estimate has two degrees of
freedom, while its neighbours say roughly how noisy categories are (Smyth, "Linear models and
empirical Bayes methods for assessing differential expression in microarray experiments", 2004,
section 6: the same problem with genes for categories). All arrays may have leading axes: the gate's
simulation (tests/bench/gate.py) judges thousands of nights at once with these very functions. NaN
stands for a missing trial.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

Array = NDArray[np.float64]
"""Values as float64, with whatever axes the docstring says."""

UNEVEN = 0.25
"""The least variance of log variances between categories that is believed: standard deviations of
categories that differ by a quarter or so.

With few categories the estimate is often zero where they do differ, and the noisy ones would raise
the alarm.
"""

ENOUGH = 10
"""Degrees of freedom a category from which on the recorded nights alone say what noise is."""

MAD = 1.4826
"""A standard deviation, in medians of absolute deviations; a busy night or a change does not touch
these.
"""

EFFICIENCY = 0.37
"""The share of degrees of freedom that it keeps against the usual estimate, for normal values."""


class Noise(NamedTuple):
    """The variance of one difference (…, categories) and its degrees of freedom; 0 freedom: nothing
    is known, and the variance is NaN.
    """

    variance: Array
    freedom: Array


class Origin(NamedTuple):
    """Where a noise is taken from, in words; `anew`: from tonight's figures at least in part, so
    another night's estimate will be another.
    """

    words: str
    anew: bool


def noise_of(differences: Array, history: Array, reference: Array) -> tuple[Noise, Origin]:
    """The noise of tonight's differences (…, categories, seeds), and where it is taken from.

    From recorded nights (…, nights, categories, seeds) where they tell enough; else together with
    the spread of the differences over their seeds; with no recorded night but the reference, from
    that alone. Where tonight repeats the reference to the last bit, nothing tells how far noise
    would go, but the spread of the reference's values (…, categories, seeds) over seeds bounds it.
    """
    seeds = noise_over_seeds(differences)
    if history.shape[-3] < 2:
        nights = Noise(np.full_like(seeds.variance, np.nan), np.zeros_like(seeds.freedom))
    else:
        nights = noise_between_nights(history)
    others = max(differences.shape[-1] - 1, 1)
    counted = f"{int(nights.freedom.max() // others) + 1} recorded nights with other numbers"
    own = "the spread of tonight's differences over their seeds"
    if (nights.freedom >= ENOUGH).all():
        return nights, Origin(counted, anew=False)
    if nights.freedom.any():
        return pooled(nights, seeds), Origin(f"{counted}, and {own}", anew=True)
    if np.nan_to_num(differences).any():
        return seeds, Origin(own, anew=True)
    bound = (
        "the spread of the values over seeds, an upper bound, where tonight repeats the reference"
        " to the last bit"
    )
    return spread_over_seeds(reference), Origin(bound, anew=False)


def noise_over_seeds(differences: Array) -> Noise:
    """From the spread over seeds of the paired differences (…, categories, seeds) themselves: what
    seeds share cancels, drawn images included.

    A category whose differences are all exactly 0 was computed by the same code on the same data:
    it says nothing of noise.
    """
    present = np.isfinite(differences)
    count = present.sum(-1)
    filled = np.where(present, differences, 0.0)
    mean = filled.sum(-1) / np.maximum(count, 1)
    squares = (np.where(present, differences - mean[..., None], 0.0) ** 2).sum(-1)
    return _noise(squares, np.where((filled != 0).any(-1), count - 1, 0))


def noise_between_nights(values: Array) -> Noise:
    """From recorded nights (…, nights, categories, seeds): what is left when each night's and each
    seed's mean is taken away, doubled for a difference.

    So neither what the seeds draw nor a change that hits all seeds alike, as a step in the history
    does, counts as noise. A night that repeats an earlier one of a category to the last bit was the
    same computation and is not counted; nor is one with a missing seed.
    """
    whole = np.isfinite(values).all(-1) & ~repeats(values)
    nights, seeds = whole.sum(-2), values.shape[-1]
    filled = np.where(whole[..., None], values, 0.0)
    by_night = filled.mean(-1, keepdims=True)
    by_seed = filled.sum(-3, keepdims=True) / np.maximum(nights, 1)[..., None, :, None]
    level = by_seed.mean(-1, keepdims=True)
    residual = np.where(whole[..., None], filled - by_night - by_seed + level, 0.0)
    noise = _noise((residual**2).sum((-3, -1)), np.maximum(nights - 1, 0) * (seeds - 1))
    return Noise(2 * noise.variance, noise.freedom)


def spread_over_seeds(values: Array) -> Noise:
    """From the values (…, categories, seeds) of one night alone, doubled for a difference of two
    that share nothing: an upper bound.
    """
    noise = noise_over_seeds(np.where(np.isfinite(values), values, np.nan))
    return Noise(2 * noise.variance, noise.freedom)


def pooled(one: Noise, other: Noise) -> Noise:
    """Two independent estimates as one, by their degrees of freedom."""
    squares = [noise.freedom * np.nan_to_num(noise.variance) for noise in (one, other)]
    return _noise(squares[0] + squares[1], one.freedom + other.freedom)


def repeats(values: Array) -> NDArray[np.bool_]:
    """Which nights (…, nights, categories, seeds) -> (…, nights, categories) hold the very numbers
    of an earlier one, category by category.
    """
    repeated = np.zeros(values.shape[:-1], bool)
    for night in range(1, values.shape[-3]):
        same = (values[..., night : night + 1, :, :] == values[..., :night, :, :]).all(-1)
        repeated[..., night, :] = same.any(-2)
    return repeated


def _noise(squares: Array, freedom: Array | NDArray[np.int_]) -> Noise:
    """From sums of squares and their degrees of freedom."""
    known = freedom > 0
    variance = np.where(known, squares / np.maximum(freedom, 1), np.nan)
    return Noise(variance, np.where(known, freedom, 0).astype(np.float64))


def moderated(noise: Noise) -> Noise:
    """Each category's variance drawn towards the mean of all, with the degrees of freedom that this
    is worth (Smyth's moments of the log variances, less half their standard error, which steadies
    the verdict from night to night; the plain mean in place of his location).

    A category that says nothing of itself gets the common variance. Never more degrees of freedom
    than the categories have together. NaN and 0 where no category says anything.
    """
    variance, freedom = np.nan_to_num(noise.variance), noise.freedom
    total = freedom.sum(-1, keepdims=True)
    common = (freedom * variance).sum(-1, keepdims=True) / np.maximum(total, 1)
    prior = _prior_freedom(variance, freedom, common)
    worth = prior + freedom
    mixed = (prior * common + freedom * variance) / np.maximum(worth, 1e-9)
    least = np.minimum(worth, total)
    return Noise(np.where(least > 0, mixed, np.nan), least)


def _prior_freedom(variance: Array, freedom: Array, common: Array) -> Array:
    """The degrees of freedom (…, 1) that the categories' common variance (…, 1) is worth beside
    their own (…, categories); 0 with fewer than two categories that say anything.
    """
    known = freedom > 0
    count = known.sum(-1, keepdims=True)

    def over_known(values: Array, divisor: Array | NDArray[np.int_]) -> Array:
        total: Array = np.where(known, values, 0.0).sum(-1, keepdims=True)
        return total / np.maximum(divisor, 1)

    half = np.where(known, freedom, 1.0) / 2
    # A variance of 0 comes of figures that move in steps, as an AUROC of few images; its logarithm
    # would rule all others.
    floor = np.maximum(variance, 1e-3 * common) + np.finfo(float).tiny
    logs = np.log(floor) - digamma(half) + np.log(half)
    scatter = over_known((logs - over_known(logs, count)) ** 2, count - 1)
    expected = over_known(polygamma(1, half), count)
    fourth = over_known(polygamma(3, half), count)
    error = np.sqrt(fourth / np.maximum(count, 1) + 2 * expected**2 / np.maximum(count - 1, 1))
    uneven = np.maximum(scatter - expected - error / 2, UNEVEN)
    return np.where(count > 1, 2 * _trigamma_inverse(uneven), 0.0)


def _trigamma_inverse(value: Array) -> Array:
    """x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly a straight
    line.
    """
    x = 0.5 + 1 / value
    for _ in range(8):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / value) / polygamma(2, x)
    return x
