"""A system's metric on two nights: its pairs, their noise, and a verdict for every category and for
the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apc_bench.errors import UsageError, unknown
from apc_bench.gate.verdict import Judged, judge, seeds_needed
from apc_bench.metrics.catalogue import METRICS, POSTER
from apc_bench.results.pairing import Missing, Pair, figures, recorded
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.variance import Array, Noise, noise_of

REGRESSION, RISE, STEADY, BLIND = "regression", "rise", "steady", "blind"
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
        self.pair, self.metric, self.new, self.old, self.mean_only = (
            pair,
            metric,
            new,
            old,
            mean_only,
        )
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
        new, old = (
            figures(tonight.results, pair.system, pair, metric),
            figures(reference.results, pair.before, pair, metric),
        )
        history = (
            recorded(nights, pair, tonight.results, metric) if nights else np.empty((0, *new.shape))
        )
        return cls(pair, metric, new, old, history)

    @property
    def undefined(self) -> bool:
        """Neither night has the metric, for any pair."""
        return not (np.isfinite(self.new) | np.isfinite(self.old)).any()

    @property
    def lost(self) -> list[Missing]:
        """Pairs where only one night has the metric."""
        sides = ((self.new, "tonight"), (self.old, "in the reference"))
        return [
            Missing(
                self.pair.system.label,
                self.pair.categories[row],
                self.pair.seeds[column],
                f"{self.metric} is undefined {side}",
            )
            for one, side in sides
            for row, column in np.argwhere(
                ~np.isfinite(one) & (np.isfinite(self.new) | np.isfinite(self.old))
            )
        ]

    @property
    def tests(self) -> int:
        return 1 if self.mean_only else len(self.categories) + (len(self.categories) > 1)

    def units(self, asked: Asked, tests: int) -> list[Unit]:
        """Verdicts of the categories that have pairs, then of their mean."""
        some = self.pairs.any(-1)
        noise = Noise(*(one[some] for one in self._noise))
        tolerance = np.array(
            [asked.category_drop] * len(self.categories)
            + [asked.mean_drop] * (len(self.categories) > 1)
        )
        judged = judge(
            self.differences[some], noise, tolerance=tolerance, tests=tests, anew=self.origin.anew
        )
        before, after = (self._means(one)[: len(tolerance)] for one in (self.old, self.new))
        names = [*self.categories, None][: len(tolerance)]
        units = [
            self._unit(index, name, judged, tolerance, asked, tests, before, after)
            for index, name in enumerate(names)
        ]
        return units[-1:] if self.mean_only else units

    def _means(self, values: Array) -> Array:
        by_category = np.nanmean(np.where(self.pairs, values, np.nan)[self.pairs.any(-1)], axis=-1)
        return np.append(by_category, by_category.mean())

    def _unit(
        self,
        index: int,
        name: str | None,
        judged: Judged,
        tolerance: Array,
        asked: Asked,
        tests: int,
        before: Array,
        after: Array,
    ) -> Unit:
        some = self.pairs.any(-1)
        counts = self.pairs[some].sum(-1)
        own = self.differences[some] if name is None else self.differences[some][index]
        change, unchanged = float(judged.change[index]), not np.nan_to_num(own).any()
        known = bool(np.isfinite(judged.error[index]))
        noise = float(judged.noise[index]) if known else None
        verdict, needed = STEADY, None
        if judged.dropped[index]:
            verdict = REGRESSION
        elif judged.rose[index]:
            verdict = RISE
        elif not unchanged and (noise is None or (asked.given and noise > tolerance[index])):
            verdict, needed = (
                BLIND,
                seeds_needed(judged, index, int(counts.min()), float(tolerance[index]), tests),
            )
        return Unit(
            self.pair.system.label,
            self.metric,
            name,
            int(counts.min() if name is None else counts[index]),
            float(before[index]),
            float(after[index]),
            change,
            float(tolerance[index]),
            noise,
            float(judged.detectable[index]) if known else None,
            verdict,
            len(self.categories),
            self.pair.planned,
            needed,
        )
