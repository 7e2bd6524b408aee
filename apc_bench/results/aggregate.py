"""From the rows of a run to figures by system, category and seed. A mean over fewer categories than
planned always says so.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apc_bench.errors import DamagedFile, RunError
from apc_bench.results.run_reader import RunReader
from apc_bench.settings.protocols import CrossFit, EvaluationProtocol, protocol_of
from apc_bench.statistics.differences import deviation, mean
from apc_bench.store.info import RunInfo
from apc_bench.wording import counted

TEST, FULL = "test", "full"
TRIAL = "trial"
BASELINE = "patchcore"


@dataclass(frozen=True, slots=True)
class System:
    """A row of the tables: a method with a number of anomalous training images; `shots` is 0 for a
    frozen extractor.
    """

    method: str
    shots: int
    title: str
    detector: str
    backbone: str
    seeds: tuple[int, ...]

    @property
    def frozen(self) -> bool:
        return self.shots == 0

    @property
    def shots_text(self) -> str:
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


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything the report says in numbers. `superseded`: results of the run that another version
    of data or software replaced.
    """

    dataset: str
    categories: tuple[str, ...]
    systems: tuple[System, ...]
    trials: Mapping[tuple[System, str, int], Trial]
    info: RunInfo
    damaged: tuple[str, ...]
    superseded: int
    _by_seed: dict[tuple[System, str, str, str], dict[int, float]] = field(
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
    def baseline(self) -> System | None:
        """The frozen system that others are compared with: the method `patchcore`, or else the
        first frozen one of the job.
        """
        frozen = [system for system in self.systems if system.frozen]
        return next(
            (system for system in frozen if system.method == BASELINE),
            frozen[0] if frozen else None,
        )

    @property
    def others(self) -> tuple[System, ...]:
        """Every system but the baseline; none without one."""
        baseline = self.baseline
        return tuple(system for system in self.systems if baseline and system != baseline)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({seed for system in self.systems for seed in system.seeds}))

    @property
    def shots(self) -> tuple[int, ...]:
        return tuple(sorted({system.shots for system in self.systems if not system.frozen}))

    def at_most_shots(self) -> tuple[System, ...]:
        """Each method once: frozen ones, and the others at their largest number of shots."""
        largest = {
            system.method: system
            for system in sorted(self.systems, key=lambda system: system.shots)
        }
        return tuple(system for system in self.systems if largest[system.method] == system)

    def missing(self, system: System) -> list[tuple[str, int, str]]:
        """(category, seed, reason) of the trials without a result."""
        places = ((category, seed) for category in self.categories for seed in system.seeds)
        found = (
            (category, seed, self.trials[system, category, seed].missing)
            for category, seed in places
        )
        return [(category, seed, reason) for category, seed, reason in found if reason is not None]

    def rows(
        self, system: System, subset: str = TEST, *, category: str | None = None
    ) -> list[Mapping[str, Any]]:
        """The system's metrics rows of a subset, by category and seed."""
        chosen = self.categories if category is None else (category,)
        trials = (self.trials[system, name, seed] for name in chosen for seed in system.seeds)
        return [trial.rows[subset] for trial in trials if subset in trial.rows]

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
        values = (
            (seed, self.trials[system, category, seed].rows.get(subset, {}).get(metric))
            for seed in system.seeds
        )
        return {
            seed: float(value)
            for seed, value in values
            if value is not None and math.isfinite(value)
        }

    def complete(self, system: System, metric: str, subset: str = TEST) -> tuple[str, ...]:
        """The categories where the metric is defined for every seed."""
        return tuple(
            name
            for name in self.categories
            if len(self.by_seed(system, name, metric, subset)) == len(system.seeds)
        )

    def in_category(
        self, system: System, category: str, metric: str, subset: str = TEST
    ) -> Mean | None:
        """Mean and standard deviation over the seeds that there are."""
        values = list(self.by_seed(system, category, metric, subset).values())
        return Mean(mean(values), deviation(values), (category,), len(values)) if values else None

    def over(
        self, system: System, metric: str, categories: Sequence[str], subset: str = TEST
    ) -> Mean | None:
        """The mean over categories that are complete for this system."""
        if not categories:
            return None
        tables = [self.by_seed(system, category, metric, subset) for category in categories]
        per_seed = [mean([table[seed] for table in tables]) for seed in system.seeds]
        return Mean(mean(per_seed), deviation(per_seed), tuple(categories), len(per_seed))

    def means(self, systems: Iterable[System], metric: str, subset: str = TEST) -> SystemMeans:
        """Means over the categories that are complete for every system with any; where none is,
        each over its own.
        """
        complete = {system: self.complete(system, metric, subset) for system in systems}
        sets = [set(names) for names in complete.values() if names]
        common = set.intersection(*sets) if sets else set()
        chosen = {
            system: [name for name in names if name in common or not common]
            for system, names in complete.items()
        }
        return SystemMeans(
            {system: self.over(system, metric, names, subset) for system, names in chosen.items()},
            bool(common),
        )


def read_results(run: RunReader) -> Results:
    """Joins plan, metrics and failures of a run; systems in the order of the job's methods, then by
    shots.

    Raises DamagedFile where run.json holds no settings, RunError where the plan holds no trial.
    """
    info = run.info
    if "settings" in info.absent:
        raise DamagedFile(f"{run.path / 'run.json'}: no settings")
    plan = [row for row in run.plan().iter_rows(named=True) if row["kind"] == TRIAL]
    if not plan:
        raise RunError(f"{run.path}: its plan holds no trial, so there is nothing to report")
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for row in run.metrics().iter_rows(named=True):
        measured.setdefault(row["result_key"], {})[row["subset"]] = row
    systems = _systems(plan, list(info.settings.get("methods", {})))
    categories = tuple(sorted({row["category"] for row in plan}))
    planned: dict[tuple[str, int, str, int], list[dict[str, Any]]] = {}
    for row in plan:
        planned.setdefault((row["method"], row["shots"], row["category"], row["seed"]), []).append(
            row
        )
    reasons = {failure.result_key: _one_line(failure.reason) for failure in run.failures()}
    trials = {
        (system, category, seed): _trial(
            planned.get((system.method, system.shots, category, seed), []), measured, reasons
        )
        for system in systems
        for category in categories
        for seed in system.seeds
    }
    used = {trial.result_key for trial in trials.values()}
    superseded = sum(
        row["result_key"] in measured and row["result_key"] not in used for row in plan
    )
    return Results(
        plan[0]["dataset"], categories, systems, trials, info, tuple(run.damaged), superseded
    )


def _systems(plan: Sequence[Mapping[str, Any]], order: list[str]) -> tuple[System, ...]:
    places: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in plan:
        places.setdefault((row["method"], row["shots"]), []).append(row)
    titles = {row["method"]: row["title"] or row["method"] for row in plan}
    twice = Counter(titles.values())
    systems = [
        System(
            method,
            shots,
            titles[method] if twice[titles[method]] == 1 else f"{titles[method]} ({method})",
            rows[-1]["detector"],
            rows[-1]["backbone"],
            tuple(sorted({row["seed"] for row in rows})),
        )
        for (method, shots), rows in places.items()
    ]
    position = {method: index for index, method in enumerate(order)}
    return tuple(
        sorted(
            systems,
            key=lambda system: (
                position.get(system.method, len(position)),
                system.method,
                system.shots,
            ),
        )
    )


def _trial(
    planned: Sequence[Mapping[str, Any]],
    measured: Mapping[str, Mapping[str, Any]],
    reasons: Mapping[str, str],
) -> Trial:
    """The last planned result that exists: a plan keeps what earlier versions of data or software
    planned.
    """
    if not planned:
        return Trial(None, {}, "not planned")
    for row in reversed(planned):
        if TEST in measured.get(row["result_key"], {}):
            return Trial(row["result_key"], measured[row["result_key"]], None)
    row = planned[-1]
    if row["needs"] in reasons:
        return Trial(None, {}, f"its fine-tuning failed: {reasons[row['needs']]}")
    if row["result_key"] in reasons:
        return Trial(None, {}, f"failed: {reasons[row['result_key']]}")
    return Trial(None, {}, "not run")


def _one_line(text: str, limit: int = 300) -> str:
    words = " ".join(text.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
