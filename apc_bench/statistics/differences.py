"""Spread over seeds and paired differences between methods (docs/method.md section 5,
"Statistics"). Pure functions of numbers.

Seeds are averaged first; the unit of a comparison is the category. Sums are exact (math.fsum), so
no result depends on an order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import scipy

CATEGORIES_FOR_A_TEST = 6
"""Fewer differences cannot reach p < 0.05 in a two-sided Wilcoxon signed-rank test."""

TIE = 1e-12
"""Differences up to it are none."""

TIE_DECIMALS = 12
"""Decimals of a difference that count where ranks are given."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A method minus another, paired by category.

    `mean`: of the categories' differences. `low`, `high`: 95 % t interval over categories, None
    below two. `p`: two-sided Wilcoxon signed-rank, None with the `reason` why there is none.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    reason: str | None
    wins: int
    ties: int
    losses: int

    @property
    def categories(self) -> int:
        """How many went in."""
        return self.wins + self.ties + self.losses


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation (ddof 1), or None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The t interval of the mean, or None for fewer than two values."""
    spread = deviation(values)
    if spread is None:
        return None
    # What t.ppf calls, without its 170 µs of checks: a large report asks thousands of times.
    quantile = float(scipy.special.stdtrit(len(values) - 1, (1 + confidence) / 2))
    reach = quantile * spread / math.sqrt(len(values))
    return mean(values) - reach, mean(values) + reach


def paired_difference(
    method: Mapping[str, float], baseline: Mapping[str, float]
) -> Difference | None:
    """`method` − `baseline` over the categories that both have, each a mean over seeds; None where
    they share no category.
    """
    shared = sorted(method.keys() & baseline.keys())
    if not shared:
        return None
    gains = [method[category] - baseline[category] for category in shared]
    low, high = t_interval(gains) or (None, None)
    p, reason = _wilcoxon(gains)
    wins = len([gain for gain in gains if gain > TIE])
    losses = len([gain for gain in gains if gain < -TIE])
    ties = len(gains) - wins - losses
    return Difference(mean(gains), low, high, p, reason, wins, ties, losses)


def _wilcoxon(gains: Sequence[float]) -> tuple[float | None, str | None]:
    if len(gains) == 1:
        return None, "one category: no claim"
    if len(gains) < CATEGORIES_FOR_A_TEST:
        return None, f"fewer than {CATEGORIES_FOR_A_TEST} categories"
    # Equal differences must share a rank, whatever their last bits.
    rounded = [round(gain, TIE_DECIMALS) for gain in gains]
    if not any(rounded):
        return None, "no category differs"
    return float(scipy.stats.wilcoxon(rounded).pvalue), None


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of the p values of one family; None stays None and does not
    count.
    """
    order = sorted((p, index) for index, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[index] = largest
    return corrected
