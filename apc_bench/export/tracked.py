"""A run as an experiment tracker has it: parameters that never change, tags that may, and each
trial's metrics. Nothing here knows which tracker it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apc_bench.files.hashing import digest
from apc_bench.metrics.catalogue import AT_THRESHOLD, COMPARED_COSTS, METRICS
from apc_bench.report.figure_style import file_name
from apc_bench.report.page import summary
from apc_bench.report.page_record import command
from apc_bench.results.aggregate import TEST, Results, System
from apc_bench.settings.sweep import Sweep
from apc_bench.store import attempts
from apc_bench.store.run import Run

TRACKED = (*METRICS, *AT_THRESHOLD, *COMPARED_COSTS)
"""The metrics of a trial that a tracker gets."""

FINISHED, FAILED, RUNNING = "FINISHED", "FAILED", "RUNNING"


@dataclass(frozen=True, slots=True)
class TrackedTrial:
    """One trial: `apc-5/bracket` (system and category), its seed or fold, when it was done (ms
    since 1970), and its metrics by name; those that are undefined are left out.
    """

    place: str
    seed: int
    moment: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """`identity`: the same for the same run folder, wherever it lies and whatever sweeps have added
    to it. `means`: `apc-5/image_auroc` -> mean over categories and seeds, of as many trials as
    `done` says. `began`, `ended`: ms since 1970.
    """

    identity: str
    name: str
    began: int
    ended: int
    status: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    trials: Sequence[TrackedTrial]
    means: Mapping[str, float]

    @property
    def done(self) -> int:
        """How many trials there are."""
        return len(self.trials)


def tracked_run(results: Results, run: Run) -> TrackedRun:
    """What a tracker is told of a run. Raises DamagedFile where run.json lacks what it is known
    by.
    """
    info = run.info_with("created", "settings")
    began = int(datetime.fromisoformat(info.created).astimezone(UTC).timestamp() * 1000)
    ends = {
        attempt.result_key: int(attempt.time * 1000)
        for attempt in attempts.read_attempts(run.attempts_folder)
        if attempt.event == attempts.DONE
    }
    trials = list(_trials(results, ends, began))
    missing = any(results.missing(system) for system in results.systems)
    status = (FAILED if run.failures() else RUNNING) if missing else FINISHED
    # A plan only grows: its first step tells runs apart that began in the same second.
    first = run.plan().row(0, named=True)["result_key"]
    return TrackedRun(
        identity=digest([info.created, results.dataset, first], 16),
        name=run.path.resolve().name,
        began=began,
        ended=max(ends.values(), default=began),
        status=status,
        parameters=dict(_parameters(info.settings)),
        tags=dict(_tags(results, run)),
        trials=trials,
        means=dict(_means(results)),
    )


def _trials(results: Results, ends: Mapping[str, int], began: int) -> Iterator[TrackedTrial]:
    for (system, category, seed), trial in results.trials.items():
        if trial.result_key is None:
            continue
        row = trial.rows[TEST]
        values = {name: float(row[name]) for name in TRACKED if row.get(name) is not None}
        place = f"{_named(system)}/{file_name(category)}"
        yield TrackedTrial(place, seed, ends.get(trial.result_key, began), values)


def _named(system: System) -> str:
    """`patchcore`, `apc-5`: trackers take no other sign between the two."""
    method = file_name(system.method)
    return method if system.frozen else f"{method}-{system.shots}"


def _means(results: Results) -> Iterator[tuple[str, float]]:
    for metric in METRICS:
        for system, mean in results.means(results.systems, metric).by_system.items():
            if mean is not None:
                yield f"{_named(system)}/{metric}", mean.value


def _parameters(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a run folder keeps to: whatever is added to it, these stay."""
    sweep = Sweep.model_validate(settings)
    for name, value in sweep.fixed().items():
        yield from _flat(name, value)
    for name, method in sweep.methods.items():
        yield from _flat(f"methods.{file_name(name)}", method.identity())


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{file_name(str(key))}", inner)
    elif value is not None:
        yield name, str(value)


def _tags(results: Results, run: Run) -> Iterator[tuple[str, str]]:
    """What may grow or change with every sweep on the folder."""
    yield "dataset", results.dataset
    yield "categories", ", ".join(results.categories)
    yield "systems", ", ".join(_named(system) for system in results.systems)
    yield results.seed_words[1], ", ".join(map(str, results.seeds))
    yield "summary", summary(results)
    yield "revision", results.info.revision()
    yield "run_folder", str(run.path.resolve())
    if words := command(results):
        yield "command", words
