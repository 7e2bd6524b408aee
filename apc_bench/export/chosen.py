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


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person asked for, None where they left it open."""

    method: str | None
    shots: int | None
    seed: int | None
    categories: Sequence[str] | None

    def trials(self, results: Results) -> ExportedTrials:
        """Of one system; left open: the only method, its largest number of shots, its first seed,
        all categories. Raises UsageError.
        """
        system = self.system(results)
        seed = system.seeds[0] if self.seed is None else self.seed
        if seed not in system.seeds:
            known, word = ", ".join(map(str, system.seeds)), results.seed_words[0]
            raise UsageError(f"{system.label} has no {word} {seed} (has: {known})")
        return ExportedTrials(system, seed, self.of_categories(results))

    def system(self, results: Results) -> System:
        """A method of the run with so many shots. Raises UsageError."""
        methods = list(dict.fromkeys(system.method for system in results.systems))
        if self.method is None and len(methods) > 1:
            raise UsageError(f"of which method? --method takes one of {listed(methods)}")
        name = self.method or methods[0]
        systems = {system.shots: system for system in results.systems if system.method == name}
        if not systems:
            raise UsageError(unknown("method", name, methods))
        number = max(systems) if self.shots is None else self.shots
        if number not in systems:
            known = ", ".join(map(str, sorted(systems)))
            raise UsageError(
                f"'{name}' has no trials at {number} shots (has: {known}; 0 is a frozen method)"
            )
        return systems[number]

    def systems(self, results: Results) -> list[System]:
        """Those that stand side by side: a method's, or every one's at so many shots; left open: at
        its largest number. Raises UsageError.
        """
        if self.method is not None:
            return [self.system(results)]
        if self.shots is None:
            return list(results.at_most_shots())
        shown = [system for system in results.systems if system.shots in (0, self.shots)]
        if not any(system.shots == self.shots for system in shown):
            known = ", ".join(map(str, sorted({system.shots for system in results.systems})))
            raise UsageError(f"no trials at {self.shots} shots in this run (has: {known})")
        return shown

    def of_categories(self, results: Results) -> tuple[str, ...]:
        """Raises UsageError for one that the run has not."""
        for category in self.categories or ():
            if category not in results.categories:
                raise UsageError(unknown("category", category, results.categories))
        return tuple(self.categories or results.categories)


def result_key_of(results: Results, system: System, category: str, seed: int) -> str:
    """Of a trial that has a result. Raises RunError for one that has none, which says why."""
    trial = results.trials[system, category, seed]
    if trial.result_key is None:
        place = f"{system.label} on {category}, {results.seed_words[0]} {seed}"
        raise RunError(f"{place}, has no result: {trial.missing}")
    return trial.result_key
