"""Recorded runs as nights: what a folder of runs holds in the order of time, and what of it cannot
be used, by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apc_bench.errors import ApcError, UsageError
from apc_bench.results.aggregate import Results
from apc_bench.results.reading import read_results
from apc_bench.store.info import INFO, RunInfo, is_run
from apc_bench.store.run import Run


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRun:
    """One run of a series: a night. `name`: of its folder; `missing`: planned trials without a
    result.
    """

    name: str
    path: Path
    results: Results
    missing: int

    @property
    def info(self) -> RunInfo:
        """What run.json records."""
        return self.results.info

    @property
    def created(self) -> str:
        """When its sweep began, UTC in ISO 8601."""
        return self.info.created

    @property
    def revision(self) -> str:
        """`abc1234`, with `+` where files were changed; the version of the package where it was
        installed.
        """
        return self.info.revision()

    @property
    def measures(self) -> str:
        """What a night measures, which all nights of a series have in common: `mvtec_ad under
        holdout`.
        """
        return f"{self.results.dataset} under {self.results.protocol.name}"

    @property
    def title(self) -> str:
        """`2026-11-27 (2026-11-27 02:00 UTC, abc1234)`."""
        return f"{self.name} ({self.created[:16].replace('T', ' ')} UTC, {self.revision})"


def read_recorded_run(path: Path) -> RecordedRun:
    """One run folder. Raises RunError or DamagedFile where it is none."""
    results = read_results(Run.open(path))
    missing = sum(len(results.missing(system)) for system in results.systems)
    return RecordedRun(path.name or str(path), path, results, missing)


def read_recorded_runs(
    folder: Path, *, newest: int | None = None, before: RecordedRun | None = None
) -> tuple[list[RecordedRun], list[str]]:
    """The runs directly in a folder, oldest first, and a line for each that cannot be read, has
    damaged files, or is of another dataset or protocol than the others: than `before`, or else than
    the newest.

    `before`: only runs that began before that one, which may lie in the folder too; `newest`: only
    so many of them, the newest. Raises UsageError without the folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder; name the folder that holds the nights' run folders"
        )
    begun, runs, problems = [], [], []
    for path in _folders(folder):
        try:
            created = Run.open(path).info.created
        except ApcError as error:
            why = str(error) if is_run(path) else f"no run folder (it has no {INFO})"
            problems.append(f"{path.name}: {why}")
            continue
        if before is None or _is_earlier(created, path, before):
            begun.append((created, path))
    begun.sort()
    for _, path in begun if newest is None else begun[-newest:]:
        try:
            run = read_recorded_run(path)
        except ApcError as error:
            problems.append(f"{path.name}: {error}")
            continue
        problems += [f"{path.name}: {line}" for line in run.results.damaged]
        runs.append(run)
    if not runs:
        return runs, problems
    wanted = (before or runs[-1]).measures
    others = [run for run in runs if run.measures != wanted]
    problems += [f"{run.name}: is of {run.measures}, and this of {wanted}" for run in others]
    return [run for run in runs if run.measures == wanted], problems


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in a folder by name, without hidden ones."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield path


def _is_earlier(created: str, path: Path, than: RecordedRun) -> bool:
    return created <= than.created and path.resolve() != than.path.resolve()
