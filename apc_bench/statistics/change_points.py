"""Where a series of nights changes its level: optimal partitioning (Jackson et al. 2005) with a
penalty that noise alone does not pay. Pure functions.

The best sequence of constant levels is the one with the least sum of squares over the noise plus a
penalty for each level. A level that noise alone asks for gains a squared normal deviate, the
largest of one for each night; the penalty is what all of them together exceed in one history in a
hundred.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from apc_bench.statistics.variance import EFFICIENCY, MAD, Array

FALSE = 0.01
"""Histories without a change that may show one, all series of the page together."""
SPIKE = 4.0
"""Standard deviations from the median of its neighbours beyond which a night is a spike and no
level.
"""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of level: `night` is the first of the new one; `before` and `after` the means of the
    two levels.
    """

    night: int
    before: float
    after: float

    @property
    def change(self) -> float:
        """How far the level went up; negative: down."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviation of one night's value where nothing changes, and the degrees of freedom
    behind it (infinite: known).
    """

    deviation: float
    freedom: float


def spread_of(values: Array, least: float) -> Spread:
    """Of values (nights,), from the differences of successive nights, which changes and spikes do
    not touch since the median is taken; at least `least`.
    """
    if len(values) < 3:
        return Spread(least, 1.0)
    differences = np.abs(np.diff(values))
    deviation = MAD * float(np.median(differences)) / math.sqrt(2)
    return Spread(max(deviation, least), max(1.0, EFFICIENCY * len(differences)))


def without_spikes(values: Array, spread: Spread) -> Array:
    """Values (nights,) with those far from the median of the five around them put back to it: a
    busy machine for a night or two is no new level.
    """
    if len(values) < 5:
        return values
    padded = np.pad(values, 2, mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=-1)
    return np.where(np.abs(values - middle) > SPIKE * spread.deviation, middle, values)


def find_change_points(
    values: Array, spread: Spread, *, series: int = 1, shortest: int = 1
) -> list[ChangePoint]:
    """The changes of level of a series (nights,) without gaps. `series`: how many a page shows,
    which share the rate of false ones. `shortest`: nights a level.
    """
    count = len(values)
    if count < 2 * shortest or count < 2:
        return []
    scaled = (values - values.mean()) / spread.deviation
    penalty = float(scipy.stats.t.isf(FALSE / (2 * count * series), spread.freedom)) ** 2
    sums = np.concatenate([[0.0], np.cumsum(scaled)])
    squares = np.concatenate([[0.0], np.cumsum(scaled**2)])
    # best[n]: the least cost of the first n nights; origin[n]: where their last level begins.
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    origin = np.zeros(count + 1, int)
    for end in range(shortest, count + 1):
        starts = np.arange(end - shortest + 1)
        cost = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)
        total = best[starts] + np.maximum(cost, 0.0) + penalty
        origin[end] = int(total.argmin())
        best[end] = total[origin[end]]
    return _between_levels(values, origin)


def _between_levels(values: Array, origin: NDArray[np.int_]) -> list[ChangePoint]:
    edges = [len(values)]
    while edges[0] > 0:
        edges.insert(0, int(origin[edges[0]]))
    levels = [float(values[start:end].mean()) for start, end in itertools.pairwise(edges)]
    return [
        ChangePoint(edge, before, after)
        for edge, (before, after) in zip(edges[1:-1], itertools.pairwise(levels), strict=True)
    ]
