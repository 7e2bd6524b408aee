"""A run's results from its files: plan, metrics and failures joined."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apc_bench.errors import DamagedFile, RunError
from apc_bench.plan import TRIAL
from apc_bench.results.aggregate import TEST, Results, System, Trial
from apc_bench.results.columns import Columns
from apc_bench.results.run_reader import RunReader

REASON_MAX = 300
"""Characters of a failure's reason that a table has room for."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Records:
    """What was measured and what failed. `measured`: result key -> subset -> metrics row;
    `reasons`: result key of a failed step -> why.
    """

    measured: Mapping[str, Mapping[str, Row]]
    reasons: Mapping[str, str]


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
    records = _records(run)
    planned: dict[tuple[str, int, str, int], list[Row]] = defaultdict(list)
    for row in plan:
        planned[row["method"], row["shots"], row["category"], row["seed"]].append(row)
    systems = _systems(plan, list(info.settings.get("methods", {})))
    categories = tuple(sorted({row["category"] for row in plan}))
    trials = {}
    for system in systems:
        for category in categories:
            for seed in system.seeds:
                rows = planned.get((system.method, system.shots, category, seed), [])
                trials[system, category, seed] = _trial(rows, records)
    used = {trial.result_key for trial in trials.values()}
    unused = [row for row in plan if row["result_key"] not in used]
    superseded = [row for row in unused if row["result_key"] in records.measured]
    return Results(
        plan[0]["dataset"], categories, systems, trials, info, tuple(run.damaged), len(superseded)
    )


def _records(run: RunReader) -> _Records:
    measured: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in Columns(run.metrics()).rows():
        measured[row["result_key"]][row["subset"]] = row
    reasons = {failure.result_key: _one_line(failure.reason) for failure in run.failures()}
    return _Records(dict(measured), reasons)


def _systems(plan: Sequence[Row], order: Sequence[str]) -> tuple[System, ...]:
    """The systems of a plan; `order`: of their methods, those that it lacks last."""
    planned: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in plan:
        planned[row["method"], row["shots"]].append(row)
    titles = _titles(plan)
    systems = []
    for (method, shots), rows in planned.items():
        detector, backbone = rows[-1]["detector"], rows[-1]["backbone"]
        seeds = tuple(sorted({row["seed"] for row in rows}))
        systems.append(System(method, shots, titles[method], detector, backbone, seeds))
    position = {method: index for index, method in enumerate(order)}

    def place(system: System) -> tuple[int, str, int]:
        return position.get(system.method, len(position)), system.method, system.shots

    return tuple(sorted(systems, key=place))


def _titles(plan: Sequence[Row]) -> dict[str, str]:
    """Method -> title, with the method's name where two have the same."""
    titles = {row["method"]: row["title"] or row["method"] for row in plan}
    count = Counter(titles.values())
    return {
        method: title if count[title] == 1 else f"{title} ({method})"
        for method, title in titles.items()
    }


def _trial(planned: Sequence[Row], records: _Records) -> Trial:
    """The last planned result that exists: a plan keeps what earlier versions of data or software
    planned.
    """
    if not planned:
        return Trial(None, {}, "not planned")
    for row in reversed(planned):
        measured = records.measured.get(row["result_key"], {})
        if TEST in measured:
            return Trial(row["result_key"], measured, None)
    return Trial(None, {}, _why_missing(planned[-1], records.reasons))


def _why_missing(row: Row, reasons: Mapping[str, str]) -> str:
    if row["needs"] in reasons:
        return f"its fine-tuning failed: {reasons[row['needs']]}"
    if row["result_key"] in reasons:
        return f"failed: {reasons[row['result_key']]}"
    return "not run"


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= REASON_MAX else words[: REASON_MAX - 1] + "…"
