"""An interval of an AUROC from few images. Pure functions of numbers."""

import math

from scipy import optimize

Z = 1.2815515655446004
"""The normal distribution's 90 % quantile: each limit holds with 90 % confidence."""

_EDGE = 1e-9


def auroc_limits(auroc: float, positives: int, negatives: int, z: float = Z) -> tuple[float, float]:
    """The lower and the upper limit of an AUROC (0 to 1) of so many scores: those values that lie z
    of their own standard deviations away (Newcombe, Statistics in Medicine 2006, method 5), so that
    0 and 1 have an interval too.
    """

    def excess(value: float) -> float:
        return abs(value - auroc) - z * _deviation(value, positives, negatives)

    # At 0 and 1 themselves nothing deviates; just beside them excess is negative.
    inside = min(max(auroc, _EDGE), 1 - _EDGE)
    low = 0.0 if excess(0.0) <= 0 else optimize.brentq(excess, 0.0, inside)
    high = 1.0 if excess(1.0) <= 0 else optimize.brentq(excess, inside, 1.0)
    return float(low), float(high)


def _deviation(auroc: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's standard deviation, with both numbers by their mean."""
    number = (positives + negatives) / 2 - 1
    shape = (1 - auroc) / (2 - auroc) + auroc / (1 + auroc)
    return math.sqrt(auroc * (1 - auroc) * (1 + number * shape) / (positives * negatives))
