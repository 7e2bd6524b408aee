"""The gate's judgement of numbers: what is beyond the tolerance and beyond the noise, and which
drop would have been seen. Pure functions of arrays.

The promises (checked by tests/bench/gate.py over thousands of nights): at most 1 % of nights
without a change raise an alarm, all categories, means, methods and metrics together; a drop as
large as the one printed as detectable is found with at least 95 %.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from apc_bench.statistics.variance import Array, Noise, moderated

ALARMS = 0.005
"""Nights without a change that may raise an alarm; half of the promise, since variances from few
seeds are not known exactly.
"""

UNSEEN = 0.025
"""Drops of the size printed that may pass unseen; half of the promise, for the same reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One array (…, units) each; the units are the categories, then their mean where there is more
    than one category.

    `change`: tonight minus reference, seeds averaged. `error`: the standard error of that where
    nothing changed, with `freedom` degrees. `noise`: how far a change goes by noise alone. `limit`:
    what a change must exceed to count: the noise or the tolerance, whichever is larger.
    `detectable`: the smallest true drop that is found with 95 %. NaN where a unit has no pairs or
    no noise.
    """

    change: Array
    error: Array
    freedom: Array
    noise: Array
    limit: Array
    detectable: Array

    @property
    def dropped(self) -> NDArray[np.bool_]:
        """Units where the drop is beyond the tolerance and beyond the noise."""
        return self.change < -self.limit

    @property
    def rose(self) -> NDArray[np.bool_]:
        """Units where a rise is."""
        return self.change > self.limit


def judge(
    differences: Array, noise: Noise, *, tolerance: float | Array, tests: int, anew: bool = False
) -> Judged:
    """Differences (…, categories, seeds), NaN where a pair is missing, against their noise (…,
    categories).

    tolerance: the drop that is put up with, one for all or one a unit. tests: how many units the
    whole gate judges, all methods and metrics together, which share the rate of false alarms
    (Bonferroni). anew: the noise is of tonight's differences, not of recorded nights. The mean is
    over the categories that have pairs; its noise is the sum of the categories' own estimates, with
    Welch and Satterthwaite's degrees of freedom.
    """
    seeds = np.isfinite(differences).sum(-1)
    change = np.where(
        seeds > 0,
        np.where(np.isfinite(differences), differences, 0.0).sum(-1) / np.maximum(seeds, 1),
        np.nan,
    )
    steadied = moderated(noise)
    squared = steadied.variance / np.maximum(seeds, 1)
    freedom = steadied.freedom
    if differences.shape[-2] > 1:
        mean, mean_squared, mean_freedom = _mean(change, seeds, noise, steadied)
        both = ((change, mean), (squared, mean_squared), (freedom, mean_freedom))
        change, squared, freedom = (
            np.concatenate([one, more[..., None]], -1) for one, more in both
        )
    error = np.where((freedom > 0) & np.isfinite(change), np.sqrt(squared), np.nan)
    worth = np.where(freedom > 0, freedom, np.nan)
    reach = scipy.stats.t.isf(ALARMS / tests, worth) * error
    limit = np.maximum(reach, tolerance)
    # On another night the noise, estimated anew, may come out larger, and the limit with it; that
    # and the change's own error are independent.
    further = (
        np.maximum(reach * np.sqrt(scipy.stats.f.isf(UNSEEN, worth, worth)), tolerance) - limit
        if anew
        else 0.0
    )
    return Judged(
        change,
        error,
        freedom,
        reach,
        limit,
        limit + np.hypot(further, scipy.stats.t.isf(UNSEEN, worth) * error),
    )


def _mean(
    change: Array, seeds: NDArray[np.int_], noise: Noise, steadied: Noise
) -> tuple[Array, Array, Array]:
    """The mean over categories that have pairs: change, squared error, degrees of freedom."""
    used = np.isfinite(change)
    count = np.maximum(used.sum(-1), 1)
    mean = np.where(used.any(-1), np.where(used, change, 0.0).sum(-1) / count, np.nan)
    known = noise.freedom > 0
    variance, freedom = (
        np.where(known, noise.variance, steadied.variance),
        np.where(known, noise.freedom, steadied.freedom),
    )
    shares = np.where(used, variance / np.maximum(seeds, 1), 0.0)
    squares = (shares**2 / np.maximum(freedom, 1)).sum(-1)
    total = shares.sum(-1)
    least = np.where(used, freedom, np.inf).min(-1)
    satterthwaite = np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1.0), least)
    return mean, total / count**2, np.where(np.isfinite(total), satterthwaite, 0.0)


def seeds_needed(
    judged: Judged, unit: int, seeds: int, tolerance: float, tests: int, most: int = 200
) -> int | None:
    """How many seeds would bring the noise of a unit below the tolerance, were they as noisy as
    these; None: more than `most`, or nothing is known.
    """
    if not np.isfinite(judged.error[unit]) or tolerance <= 0 or seeds < 2:
        return None
    counts = np.arange(seeds, most + 1)
    freedom = judged.freedom[unit] * (counts - 1) / (seeds - 1)
    reach = (
        scipy.stats.t.isf(ALARMS / tests, freedom) * judged.error[unit] * np.sqrt(seeds / counts)
    )
    enough = np.flatnonzero(reach <= tolerance)
    return int(counts[enough[0]]) if len(enough) else None
