"""A system's metric on two nights: its pairs, their noise, and a verdict for every category and for
the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from apc_bench.errors import UsageError, unknown
from apc_bench.gate.verdict import Judged, judge, seeds_needed
from apc_bench.metrics.catalogue import METRICS, POSTER
from apc_bench.results.pairing import Missing, Pair, figures, recorded
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.variance import Array, Noise, noise_of

REGRESSION, RISE, STEADY, UNDERPOWERED = "regression", "rise", "steady", "blind"
TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gate is to watch. `mean_drop`, `category_drop`: tolerated drops as fractions,
    `given` by the user or not; `slower`: tolerated ratio. `pairs`: systems of the run and of a
    table that belong together, by name.
    """

    metrics: tuple[str, ...] = POSTER
    mean_drop: float = TOLERANCE
    category_drop: float = TOLERANCE
    given: bool = False
    slower: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in self.metrics:
            if name not in METRICS:
                raise UsageError(unknown("metric", name, METRICS))


@dataclass(frozen=True, slots=True)
class Unit:
    """One verdict: a system's metric in a category, or (None) their mean. Fractions of 1;
    `verdict`: regression, rise, steady or blind.

    blind: noise alone reaches further than the tolerance that was asked for; `seeds`: pairs of each
    category, `needed`: how many would do. `categories`: that have pairs, which the mean is over, of
    the `planned` ones.
    """

    system: str
    metric: str
    category: str | None
    seeds: int
    before: float
    after: float
    change: float
    tolerance: float
    noise: float | None
    detectable: float | None
    verdict: str
    categories: int
    planned: int
    needed: int | None = None


class Family:
    """One system's metric on both nights: its pairs as arrays (categories, seeds), and the
    noise.
    """

    def __init__(
        self,
        pair: Pair,
        metric: str,
        new: Array,
        old: Array,
        history: Array,
        *,
        mean_only: bool = False,
    ) -> None:
        """`new`, `old`: (categories, seeds) of tonight and of the reference; `history`: (nights,
        categories, seeds). `mean_only`: the reference is no category's but the mean's.
        """
        self.pair, self.metric = pair, metric
        self.new, self.old = new, old
        self.mean_only = mean_only
        self.pairs = np.isfinite(new) & np.isfinite(old)
        self.differences = np.where(self.pairs, new - old, np.nan)
        self._noise, self.origin = noise_of(self.differences, history, old)
        self.categories = [
            name for name, row in zip(pair.categories, self.pairs, strict=True) if row.any()
        ]

    @classmethod
    def of_nights(
        cls,
        tonight: RecordedRun,
        reference: RecordedRun,
        nights: Sequence[RecordedRun],
        pair: Pair,
        metric: str,
    ) -> "Family":
        """Against a recorded night, with the noise of `nights`."""
        new = figures(tonight.results, pair.system, pair, metric)
        old = figures(reference.results, pair.before, pair, metric)
        history = recorded(nights, pair, tonight.results, metric)
        return cls(pair, metric, new, old, history)

    @property
    def undefined(self) -> bool:
        """Neither night has the metric, for any pair."""
        return not (np.isfinite(self.new) | np.isfinite(self.old)).any()

    @property
    def lost(self) -> list[Missing]:
        """Pairs where only one night has the metric."""
        lost = []
        known = np.isfinite(self.new) | np.isfinite(self.old)
        for values, night in ((self.new, "tonight"), (self.old, "in the reference")):
            for row, column in np.argwhere(known & ~np.isfinite(values)):
                category, seed = self.pair.categories[row], self.pair.seeds[column]
                reason = f"{self.metric} is undefined {night}"
                lost.append(Missing(self.pair.system.label, category, seed, reason))
        return lost

    @property
    def tests(self) -> int:
        """How many verdicts there will be, which share the rate of false alarms."""
        return 1 if self.mean_only else len(self._names)

    @property
    def _names(self) -> list[str | None]:
        """The units: the categories that have pairs, then their mean (None) where they are more
        than one.
        """
        if len(self.categories) > 1:
            return [*self.categories, None]
        return [*self.categories]

    def units(self, asked: Asked, tests: int) -> list[Unit]:
        """Verdicts of the categories that have pairs, then of their mean. `tests`: how many
        verdicts the whole gate gives.
        """
        some = self.pairs.any(-1)
        noise = Noise(self._noise.variance[some], self._noise.freedom[some])
        tolerance = np.full(len(self._names), asked.category_drop)
        if len(self.categories) > 1:
            tolerance[-1] = asked.mean_drop
        judged = judge(
            self.differences[some], noise, tolerance=tolerance, tests=tests, anew=self.origin.anew
        )
        units = []
        before, after = self._means(self.old), self._means(self.new)
        for index, name in enumerate(self._names):
            unit = Unit(
                system=self.pair.system.label,
                metric=self.metric,
                category=name,
                seeds=self._seeds(name),
                before=float(before[index]),
                after=float(after[index]),
                change=float(judged.change[index]),
                tolerance=float(tolerance[index]),
                noise=None,
                detectable=None,
                verdict=STEADY,
                categories=len(self.categories),
                planned=self.pair.planned,
            )
            units.append(self._decided(unit, judged, index, asked, tests))
        return units[-1:] if self.mean_only else units

    def _means(self, values: Array) -> Array:
        """The categories' means over seeds, then the mean of these: (categories + 1,)."""
        by_category = np.nanmean(np.where(self.pairs, values, np.nan)[self.pairs.any(-1)], axis=-1)
        return np.append(by_category, by_category.mean())

    def _seeds(self, name: str | None) -> int:
        """The pairs of a category; of the mean, those of the category with the fewest."""
        if name is not None:
            return int(self.pairs[self.pair.categories.index(name)].sum())
        return int(self.pairs[self.pairs.any(-1)].sum(-1).min())

    def _changed(self, name: str | None) -> bool:
        """Whether any pair of the category, or of all, has other figures on the two nights."""
        own = self.differences
        if name is not None:
            own = own[self.pair.categories.index(name)]
        return bool(np.nan_to_num(own).any())

    def _decided(self, unit: Unit, judged: Judged, index: int, asked: Asked, tests: int) -> Unit:
        """The unit with its noise and its verdict."""
        if np.isfinite(judged.error[index]):
            noise, detectable = float(judged.noise[index]), float(judged.detectable[index])
            unit = replace(unit, noise=noise, detectable=detectable)
        if judged.dropped[index]:
            return replace(unit, verdict=REGRESSION)
        if judged.rose[index]:
            return replace(unit, verdict=RISE)
        beyond = unit.noise is None or (asked.given and unit.noise > unit.tolerance)
        if not beyond or not self._changed(unit.category):
            return unit
        needed = seeds_needed(judged, index, self._seeds(None), unit.tolerance, tests)
        return replace(unit, verdict=UNDERPOWERED, needed=needed)
