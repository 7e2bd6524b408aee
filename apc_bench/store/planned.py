"""plan.parquet: one row per step that any sweep on the folder planned."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from apc_bench.errors import DamagedFile, RunError
from apc_bench.plan import Step
from apc_bench.store.files import read_table, write_table
from apc_bench.store.folder import RunFolder
from apc_bench.store.result_files import as_frame
from apc_bench.store.schemas import PLAN


class PlannedSteps:
    """The plan of a run: the union of what its sweeps planned."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.path / "plan.parquet"
        self._folder = folder
        self._frame = as_frame(PLAN.empty_table())
        self._by_key: dict[str, dict[str, Any]] = {}
        self._state: tuple[int, ...] | None = None

    def exist(self) -> bool:
        """Whether a sweep has planned steps here, so that the folder is a run though its run.json
        be lost.
        """
        return self.path.is_file()

    def add(self, steps: Iterable[Step]) -> None:
        """Adds the steps; what an earlier sweep planned stays. A damaged plan is begun anew and
        remembered.
        """
        before = self._before()
        rows = {row["result_key"]: row for row in [*before, *map(row_of, steps)]}
        if before and list(rows.values()) == before:
            return
        table = pa.Table.from_pylist(list(rows.values()), PLAN)
        write_table(self.path, table, {"kind": "plan"}, self._folder.schema)

    def last_written(self) -> int:
        """When a sweep last planned anything new, in nanoseconds since 1970; 0 for never."""
        return self.path.stat().st_mtime_ns if self.exist() else 0

    def read(self) -> pl.DataFrame:
        """One row per step (schemas.PLAN). Raises DamagedFile."""
        state = _state(self.path)
        if state is None or state != self._state:
            self._frame, self._state = as_frame(read_table(self.path, PLAN)[0]), state
        return self._frame

    def row(self, result_key: str) -> Mapping[str, Any]:
        """The row of one step. Raises DamagedFile, RunError where the plan has no such step."""
        rows = self._by_key
        if result_key not in rows:  # a sweep may have added it since
            rows = {row["result_key"]: row for row in self.read().iter_rows(named=True)}
            self._by_key = rows
        if result_key not in rows:
            raise RunError(f"{self.path.parent}: no step {result_key} in its plan")
        return rows[result_key]

    def _before(self) -> list[dict[str, Any]]:
        if not self.exist():
            return []
        try:
            return self.read().to_dicts()
        except DamagedFile as error:
            self._folder.remember(
                f"{error}; steps that only earlier commands planned come back when those commands"
                " run again"
            )
            return []


def _state(path: Path) -> tuple[int, ...] | None:
    """What differs when another sweep has written the plan anew: each one is another file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def row_of(step: Step) -> dict[str, Any]:
    """A step as a row of the plan."""
    return {
        "result_key": step.result_key,
        "trial_id": step.trial_id,
        "dataset": step.dataset,
        "category": step.category,
        "method": step.method,
        "shots": step.shots,
        "seed": step.seed,
        "kind": step.kind,
        "needs": step.needs,
        "detector": step.settings.detector,
        "backbone": step.settings.backbone,
        "title": step.settings.title or step.method,
    }
