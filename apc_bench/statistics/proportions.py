"""A few defects, found or not: intervals of a share and of the difference of two, and whether the
difference is beyond chance. Pure functions.

The unit is a defect (a group of photos); its value is the share of tries that found it, 0 or 1 with
a single one.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

Z = float(stats.norm.ppf(0.975))
"""The normal distribution's 97.5 % quantile."""

EXACT_UP_TO = 13
"""Pairs whose 2^n signs are all tried; more are sampled."""

RESAMPLES = 1 << EXACT_UP_TO
"""Signs that are drawn where there are more."""


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share of `number` defects (Wilson, JASA 1927)."""
    spread = Z * math.sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    centre, scale = share + Z * Z / (2 * number), 1 + Z * Z / number
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def paired_interval(gains: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences between −1 and 1 (Bonett and Price,
    Statistics in Medicine 2012).

    One pair that gains and one that loses is added, so that it has a width where no pair differs
    too.
    """
    number = len(gains) + 2
    up = (math.fsum(gain for gain in gains if gain > 0) + 1) / number
    down = (-math.fsum(gain for gain in gains if gain < 0) + 1) / number
    reach = Z * math.sqrt((up + down - (up - down) ** 2) / number)
    return max(-1.0, up - down - reach), min(1.0, up - down + reach)


def sign_test(gains: Sequence[float]) -> float:
    """Two-sided p of the mean of paired differences under random signs: exact up to EXACT_UP_TO
    pairs; of 0/1 values it is McNemar's exact test.
    """
    rounded = np.round(np.asarray(gains, float), 12)
    rounded = rounded[rounded != 0]
    if len(rounded) < 2:
        return 1.0
    exact = len(rounded) <= EXACT_UP_TO
    test = stats.permutation_test(
        (rounded,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf if exact else RESAMPLES,
        rng=np.random.default_rng(0),
        vectorized=True,
    )
    return float(test.pvalue)
