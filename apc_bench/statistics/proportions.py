"""A few defects, found or not: intervals of a share and of the difference of two, and whether the
difference is beyond chance. Pure functions.

The unit is a defect (a group of photos); its value is the share of tries that found it, 0 or 1 with
a single one.
"""

import math
from collections.abc import Sequence

import numpy as np
import scipy

Z = float(scipy.special.ndtri(0.975))
"""The normal distribution's 97.5 % quantile."""

EXACT_UP_TO = 16
"""Pairs whose 2^n signs are all tried; more are sampled."""

RESAMPLES = 1 << 13
"""Signs that are drawn where there are more."""


TOLERANCE = 1e-9
"""Sums that differ by less are equal: their order of adding is not."""


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share of `number` defects (Wilson, JASA 1927)."""
    spread = Z * math.sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    centre, scale = share + Z * Z / (2 * number), 1 + Z * Z / number
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def paired_interval(gains: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences between −1 and 1 (Bonett and Price,
    Statistics in Medicine 2012).

    One pair that gains and one that loses is added, so that it has a width where no pair differs
    too. Of differences between −1 and 1, as of shares over several tries, the spread is that of
    their squares, which for 0/1 values is theirs; by the differences themselves, which are larger,
    the interval would be too wide to agree with `sign_test`.
    """
    number = len(gains) + 2
    middle = math.fsum(gains) / number
    square = (math.fsum(gain * gain for gain in gains) + 2) / number
    reach = Z * math.sqrt((square - middle**2) / number)
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def sign_test(gains: Sequence[float]) -> float:
    """Two-sided p of the mean of paired differences under random signs: exact up to EXACT_UP_TO
    pairs that differ, and where all differ by as much; then, as of 0/1 values, it is McNemar's
    exact test. A report asks for hundreds, so it takes milliseconds.
    """
    rounded = np.round(np.asarray(gains, float), 12)
    rounded = rounded[rounded != 0]
    if len(rounded) < 2:
        return 1.0
    sizes = np.abs(rounded)
    if np.ptp(sizes) == 0:
        return float(scipy.stats.binomtest(int((rounded > 0).sum()), len(rounded)).pvalue)
    if len(rounded) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate([sums + size, sums - size])
        unseen = 0
    else:
        signs = np.random.default_rng(0).integers(0, 2, (RESAMPLES, len(sizes)), np.int8)
        sums = (2.0 * signs - 1) @ sizes
        unseen = 1  # the signs that were seen are one of all
    extreme = int((np.abs(sums) >= abs(rounded.sum()) - TOLERANCE).sum())
    return (extreme + unseen) / (len(sums) + unseen)
