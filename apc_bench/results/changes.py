"""What one system does to some defects that another did not: the mean of paired differences, and
whether it is beyond chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from apc_bench.results.detections import ByDefect
from apc_bench.statistics.differences import holm, mean
from apc_bench.statistics.proportions import paired_interval, sign_test

CHANCE = 0.05
"""Differences with a smaller p, whose 95 % interval leaves out 0, are called beyond chance."""


@dataclass(frozen=True, eq=False)
class Change:
    """A system's share of each defect minus the baseline's (`gains`); `ours` and `theirs`: the
    means of both, from 0 to 1.
    """

    gains: Sequence[float]
    ours: float = 0.0
    theirs: float = 0.0

    @classmethod
    def between(cls, ours: ByDefect, theirs: ByDefect) -> "Change":
        """Of two systems over the same defects."""
        mine = [ours[defect] for defect in theirs]
        others = list(theirs.values())
        gains = [one - other for one, other in zip(mine, others, strict=True)]
        return cls(gains, mean(mine), mean(others))

    @cached_property
    def mean(self) -> float:
        """Over the defects."""
        return mean(self.gains)

    def printed(self, decimals: int = 0) -> float:
        """The difference of both means as they are printed, in percent with so many decimals, so
        that printed numbers add up.
        """
        return printed_difference(self.ours, self.theirs, decimals)

    @cached_property
    def p(self) -> float:
        """Two-sided, under random signs."""
        return sign_test(self.gains)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 %, of the mean."""
        return paired_interval(self.gains)

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference is one, by p and by interval, as a single test says it."""
        return beyond(self.p, self.interval)

    @property
    def on_the_edge(self) -> bool:
        """Whether only one of p and interval says so."""
        return not self.beyond_chance and (self.p < CHANCE or _without_zero(self.interval))


def beyond(p: float, interval: tuple[float, float]) -> bool:
    """Whether a difference is beyond chance: p and interval must say the same, so that no sentence
    contradicts the interval beside it.
    """
    return p < CHANCE and _without_zero(interval)


def _without_zero(interval: tuple[float, float]) -> bool:
    low, high = interval
    return low > 0 or high < 0


def beyond_chance(changes: Mapping[str, Change]) -> set[str]:
    """Those of a family that are beyond chance by themselves, p corrected for their number
    (Holm).
    """
    corrected = holm([change.p for change in changes.values()])
    pairs = zip(changes.items(), corrected, strict=True)
    return {name for (name, change), p in pairs if p is not None and beyond(p, change.interval)}


def printed_difference(ours: float, theirs: float, decimals: int = 0) -> float:
    """`ours` − `theirs`, fractions, each rounded as percent with so many decimals first."""
    return (round(100 * ours, decimals) - round(100 * theirs, decimals)) / 100
