"""Which trials of a run an export is of."""

from collections.abc import Sequence
from dataclasses import dataclass

from apc_bench.errors import RunError, UsageError, listed, unknown
from apc_bench.results.aggregate import Results, System


@dataclass(frozen=True, slots=True)
class ExportedTrials:
    """One system and seed, and the categories that are wanted of them."""

    system: System
    seed: int
    categories: tuple[str, ...]


def choose_trials(
    results: Results,
    *,
    method: str | None,
    shots: int | None,
    seed: int | None,
    categories: Sequence[str] | None,
) -> ExportedTrials:
    """What an export is of; None: the only method, its largest number of shots, its first seed, all
    categories. Raises UsageError.
    """
    system = choose_system(results, method, shots)
    wanted = system.seeds[0] if seed is None else seed
    if wanted not in system.seeds:
        known, word = ", ".join(map(str, system.seeds)), results.seed_words[0]
        raise UsageError(f"{system.label} has no {word} {wanted} (has: {known})")
    check_categories(results, categories or ())
    return ExportedTrials(system, wanted, tuple(categories or results.categories))


def choose_system(results: Results, method: str | None, shots: int | None) -> System:
    """A method of the run with so many shots; None: the only method, its largest number of shots.
    Raises UsageError.
    """
    methods = list(dict.fromkeys(system.method for system in results.systems))
    if method is None and len(methods) > 1:
        raise UsageError(f"maps of which method? --method takes one of {listed(methods)}")
    name = method or methods[0]
    systems = {system.shots: system for system in results.systems if system.method == name}
    if not systems:
        raise UsageError(unknown("method", name, methods))
    number = max(systems) if shots is None else shots
    if number not in systems:
        known = ", ".join(map(str, sorted(systems)))
        raise UsageError(
            f"'{name}' has no trials at {number} shots (has: {known}; 0 is a frozen method)"
        )
    return systems[number]


def check_categories(results: Results, categories: Sequence[str]) -> None:
    """Raises UsageError for one that the run has not."""
    for category in categories:
        if category not in results.categories:
            raise UsageError(unknown("category", category, results.categories))


def result_key_of(results: Results, system: System, category: str, seed: int) -> str:
    """Of a trial that has a result. Raises RunError for one that has none, which says why."""
    trial = results.trials[system, category, seed]
    if trial.result_key is None:
        place = f"{system.label} on {category}, {results.seed_words[0]} {seed}"
        raise RunError(f"{place}, has no result: {trial.missing}")
    return trial.result_key
