"""A run's figures by system, category and seed, and their means. A mean over fewer categories than
planned always says so (how they are read: reading.py).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, METRICS, PIXEL
from apc_bench.settings.protocols import CrossFit, EvaluationProtocol, protocol_of
from apc_bench.statistics.differences import deviation, mean
from apc_bench.store.info import RunInfo
from apc_bench.wording import counted

TEST, FULL = "test", "full"
BASELINE = "patchcore"


@dataclass(frozen=True, slots=True)
class System:
    """A row of the tables: a method with a number of anomalous training images; `shots` is 0 for a
    frozen extractor.
    """

    method: str
    shots: int
    title: str = field(hash=False)  # two fields tell a run's systems apart, and hash them fast
    detector: str = field(hash=False)
    backbone: str = field(hash=False)
    seeds: tuple[int, ...] = field(hash=False)

    @property
    def frozen(self) -> bool:
        """Whether its extractor is not fine-tuned."""
        return self.shots == 0

    @property
    def shots_text(self) -> str:
        """As a table shows it."""
        return "–" if self.frozen else str(self.shots)

    @property
    def label(self) -> str:
        """`APC, 5 shots`: unique within a report."""
        return self.title if self.frozen else f"{self.title}, {counted(self.shots, 'shot')}"


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One trial that a complete run would have: its metrics rows by subset, or why it is
    `missing`.
    """

    result_key: str | None
    rows: Mapping[str, Mapping[str, Any]]
    missing: str | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of means over seeds. `sd`: standard deviation (ddof 1) over seeds of the mean over
    `categories`; None with one seed.

    `seeds`: how many went in.
    """

    value: float
    sd: float | None
    categories: tuple[str, ...]
    seeds: int


@dataclass(frozen=True, slots=True, eq=False)
class SystemMeans:
    """Systems side by side on one metric: each one's mean, None where it has none.

    `shared`: whether every mean rests on the same categories, those complete for all systems that
    have any; only then are means comparable.
    """

    by_system: Mapping[System, Mean | None]
    shared: bool


@dataclass(frozen=True, slots=True)
class TypeLikeNormal:
    """A defect type whose images score like normal ones: its AUROC against them, from 0 to 1, and
    that of another type of the category (like_normal.py).
    """

    category: str
    defect_type: str
    images: int
    auroc: float
    other: str
    other_auroc: float


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything the report says in numbers. `superseded`: results of the run that another version
    of data or software replaced. `like_normal`: where they were looked for.
    """

    dataset: str
    categories: tuple[str, ...]
    systems: tuple[System, ...]
    trials: Mapping[tuple[System, str, int], Trial]
    info: RunInfo
    damaged: tuple[str, ...]
    superseded: int
    like_normal: tuple[TypeLikeNormal, ...] = ()
    _by_seed: dict[tuple[System, str, str, str], dict[int, float]] = field(
        default_factory=dict, init=False, repr=False
    )
    _rows: dict[tuple[System, str, str], dict[int, Mapping[str, Any]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The sweep's settings (fields: settings.py, Sweep)."""
        return self.info.settings

    @property
    def protocol(self) -> EvaluationProtocol:
        """The protocol that the run was evaluated under."""
        return protocol_of(self.settings)

    @property
    def folded(self) -> bool:
        """Whether the run was cross-fitted: then its seeds are folds."""
        return isinstance(self.protocol, CrossFit)

    @property
    def seed_words(self) -> tuple[str, str]:
        """What a seed is to a reader, one and many."""
        return self.protocol.seed_words

    def shown(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those of the metrics that tables and figures show: without those over pixels where trials
        are done and none has any, since there are no masks.
        """
        pixels = [metric for metric in METRICS if CATALOGUE[metric].level == PIXEL]
        places = [(system, name) for system in self.systems for name in self.categories]
        measured = any(self.by_seed(*place, metric) for metric in pixels for place in places)
        if measured or not any(self.rows(system) for system in self.systems):
            return tuple(metrics)
        return tuple(metric for metric in metrics if metric not in pixels)

    @property
    def baseline(self) -> System | None:
        """The frozen system that others are compared with: the method `patchcore`, or else the
        first frozen one of the job.
        """
        frozen = [system for system in self.systems if system.frozen]
        named = [system for system in frozen if system.method == BASELINE]
        return next(iter(named or frozen), None)

    @property
    def others(self) -> tuple[System, ...]:
        """Every system but the baseline; none without one."""
        baseline = self.baseline
        return tuple(system for system in self.systems if baseline and system != baseline)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of any system, ascending."""
        return tuple(sorted({seed for system in self.systems for seed in system.seeds}))

    @property
    def shots(self) -> tuple[int, ...]:
        """The numbers of shots of the fine-tuned systems, ascending."""
        return tuple(sorted({system.shots for system in self.systems if not system.frozen}))

    @property
    def planned(self) -> int:
        """How many trials a complete run has."""
        return sum(len(system.seeds) for system in self.systems) * len(self.categories)

    def system(self, method: str, shots: int) -> System | None:
        """The system of a method with so many shots, if the run has it."""
        found = [one for one in self.systems if (one.method, one.shots) == (method, shots)]
        return found[0] if found else None

    def at_most_shots(self) -> tuple[System, ...]:
        """Each method once: frozen ones, and the others at their largest number of shots."""
        by_shots = sorted(self.systems, key=lambda system: system.shots)
        largest = {system.method: system for system in by_shots}
        return tuple(system for system in self.systems if largest[system.method] == system)

    def missing(self, system: System) -> list[tuple[str, int, str]]:
        """(category, seed, reason) of the trials without a result."""
        missing = []
        for category in self.categories:
            for seed in system.seeds:
                reason = self.trials[system, category, seed].missing
                if reason is not None:
                    missing.append((category, seed, reason))
        return missing

    def rows(self, system: System, subset: str = TEST) -> list[Mapping[str, Any]]:
        """The system's metrics rows of a subset, by category and seed."""
        return [
            row
            for category in self.categories
            for row in self._rows_of(system, category, subset).values()
        ]

    def by_seed(
        self, system: System, category: str, metric: str, subset: str = TEST
    ) -> dict[int, float]:
        """Seed -> value, where the trial exists and the metric is defined."""
        key = (system, category, metric, subset)
        if key not in self._by_seed:  # every table and figure asks again
            self._by_seed[key] = self._read_by_seed(*key)
        return self._by_seed[key]

    def _read_by_seed(
        self, system: System, category: str, metric: str, subset: str
    ) -> dict[int, float]:
        values = {}
        for seed, row in self._rows_of(system, category, subset).items():
            value = row.get(metric)
            if value is not None and math.isfinite(value):
                values[seed] = float(value)
        return values

    def _rows_of(self, system: System, category: str, subset: str) -> dict[int, Mapping[str, Any]]:
        """Seed -> metrics row, where there is one; every metric asks again."""
        key = (system, category, subset)
        if key not in self._rows:
            trials = {seed: self.trials[system, category, seed] for seed in system.seeds}
            self._rows[key] = {
                seed: trial.rows[subset] for seed, trial in trials.items() if subset in trial.rows
            }
        return self._rows[key]

    def complete(self, system: System, metric: str, subset: str = TEST) -> tuple[str, ...]:
        """The categories where the metric is defined for every seed."""
        defined = {name: self.by_seed(system, name, metric, subset) for name in self.categories}
        seeds = len(system.seeds)
        return tuple(name for name, by_seed in defined.items() if len(by_seed) == seeds)

    def in_category(
        self, system: System, category: str, metric: str, subset: str = TEST
    ) -> Mean | None:
        """Mean and standard deviation over the seeds that there are."""
        values = list(self.by_seed(system, category, metric, subset).values())
        return Mean(mean(values), deviation(values), (category,), len(values)) if values else None

    def means(self, systems: Iterable[System], metric: str, subset: str = TEST) -> SystemMeans:
        """`joint_means` of a metric."""
        return joint_means(
            {
                system: {
                    name: self.by_seed(system, name, metric, subset) for name in self.categories
                }
                for system in systems
            }
        )


def why_undefined(row: Mapping[str, Any]) -> Mapping[str, str]:
    """Column of a metrics row -> why it is null. The row holds a Parquet map, which polars gives as
    a dict, before version 2 as a list of {key, value}.
    """
    column = row["undefined"]
    if isinstance(column, Mapping):
        return column
    return {pair["key"]: pair["value"] for pair in column or ()}


ByCategory = Mapping[str, Mapping[int, float]]
"""Category -> seed -> value."""


def joint_means(values: Mapping[System, ByCategory]) -> SystemMeans:
    """Means over the categories that are complete for every system with any; where none is, each
    over its own.
    """
    complete = {
        system: [name for name, by_seed in own.items() if len(by_seed) == len(system.seeds)]
        for system, own in values.items()
    }
    sets = [set(names) for names in complete.values() if names]
    common = set.intersection(*sets) if sets else set()
    means = {}
    for system, own in complete.items():
        names = [name for name in own if name in common] if common else own
        means[system] = _mean_over({name: values[system][name] for name in names}, system.seeds)
    return SystemMeans(means, bool(common))


def _mean_over(values: ByCategory, seeds: Sequence[int]) -> Mean | None:
    """The mean over these categories, each of which has a value for every seed."""
    if not values:
        return None
    per_seed = [mean([by_seed[seed] for by_seed in values.values()]) for seed in seeds]
    return Mean(mean(per_seed), deviation(per_seed), tuple(values), len(per_seed))
