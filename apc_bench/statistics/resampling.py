"""An interval of a mean over categories by hierarchical resampling: categories, then seeds within
them (docs/method.md section 5, "Statistics").

Percentiles of a resampled mean cover 92 to 93 % where 95 are asked for, at 15 categories, and 87 %
at six, since few categories are too alike among themselves (reports/statistics). So they are
widened as Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
2015, says: the percentiles whose distance from the middle, in standard errors, is √(n / (n − 1))
times Student's t of n − 1 degrees of freedom.
"""

import math
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST

RESAMPLES = 2000
"""Draws of categories and seeds."""

_VALUES_AT_ONCE = 2_000_000


def resampled_interval(
    values: Sequence[Sequence[float]], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Of the mean over categories of the mean over seeds: values[category][seed], as many seeds in
    each. The same values give the same interval.

    None below CATEGORIES_FOR_A_TEST categories, where resampling reaches no further than the
    extremes and covers too little.
    """
    table = np.asarray(values, np.float64)
    if len(table) < CATEGORIES_FOR_A_TEST:
        return None
    means = resampled_means(table, np.random.default_rng(0))
    low, high = np.quantile(means, expanded(len(table), confidence))
    return float(low), float(high)


def expanded(categories: int, confidence: float = 0.95) -> tuple[float, float]:
    """The percentiles to take, as fractions: 0.016 and 0.984 for 95 % of 15 categories."""
    quantile = float(scipy.stats.t.ppf((1 + confidence) / 2, categories - 1))
    tail = float(scipy.stats.norm.cdf(-math.sqrt(categories / (categories - 1)) * quantile))
    return tail, 1 - tail


def resampled_means(
    table: NDArray[np.float64], generator: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """(categories, seeds) -> (resamples,): means over categories drawn with replacement of means
    over seeds drawn with replacement.
    """
    categories, seeds = table.shape
    at_once = max(1, _VALUES_AT_ONCE // table.size)
    means = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        chosen = generator.integers(categories, size=(count, categories))
        drawn = generator.integers(seeds, size=(count, categories, seeds))
        means.append(table[chosen[..., None], drawn].mean(axis=(1, 2)))
    return np.concatenate(means)
