"""The run folder: the only writer and the only reader of a run's files (layout:
docs/architecture.md, "Run folder").

A trial exists when its metrics file exists and verifies, and with it every file whose sha256 it
names; so does an extractor by its training curves.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.datasets.split import Split
from apc_bench.errors import DamagedFile, RunError
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.store import attempts
from apc_bench.store.compaction import Compaction, Folded
from apc_bench.store.extractors import Extractors
from apc_bench.store.files import TEMPORARY, read_json, too_new, write_json
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.info import INFO, RunInfo, is_run
from apc_bench.store.known_files import KnownFiles
from apc_bench.store.lock import held
from apc_bench.store.places import HIVE
from apc_bench.store.planned import PlannedSteps, row_of
from apc_bench.store.schemas import SCHEMA_VERSION
from apc_bench.store.splits import Splits
from apc_bench.store.trials import StoredBank, Trials


class Run(RunFolder):
    """One run folder. Sweeps write through its parts, `planned`, `splits`, `extractors` and
    `trials`; its own methods are what a report reads (results/run_reader.py).
    """

    def __init__(self, path: Path, holding: str | None = None) -> None:
        super().__init__(path, holding)
        self.planned = PlannedSteps(self)
        self.splits = Splits(self)
        self.extractors = Extractors(self)
        self.trials = Trials(self, self.planned)
        self.compaction = Compaction(self, self.planned, self.trials.tables)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run. Raises RunError where there is none, or one of a newer version."""
        if not is_run(path):
            raise RunError(f"{path} is no run folder: it has no {INFO}")
        run = cls(path)
        info = run.info
        if "schema" in info.absent:
            raise DamagedFile(f"{path / INFO}: no schema version")
        if info.schema > SCHEMA_VERSION:
            raise too_new(path, info.schema)
        return run

    @cached_property
    def known(self) -> KnownFiles:
        """What was read of its files and need not be read again: only who verifies them asks."""
        return KnownFiles(self.path)

    # The folder as a whole

    def lock(self) -> AbstractContextManager[str]:
        """Holds the folder for this process until the end of `with`; the kernel frees it when the
        process ends, however it ends.

        Gives the holding's name. Raises RunError that names the holder.
        """
        return held(self.path)

    def clean(self) -> int:
        """Removes half-written files that a crash left behind; only the holder of the lock may.
        Returns how many.
        """
        left = [path for path in self.leftovers() if path != self.compaction.staging]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def compact(self) -> Folded:
        """Folds the small files of finished trials into a few (store/compaction.py), and finishes
        a compaction that was cut off; only the holder of the lock may.

        Raises RunError for a run of schema 1, DamagedFile where run.json is damaged, StorageError.
        """
        if self.schema == HIVE:
            raise RunError(
                f"{self.path}: begun in schema 1, whose folders say whose a file is; it stays as it"
                " is (`apc-bench sweep --like` makes it anew)"
            )
        if self.info.schema < SCHEMA_VERSION:  # of which earlier versions would miss trials
            self.write_info(replace(self.info, schema=SCHEMA_VERSION))
        self.clean()
        return self.compaction.fold()

    def leftovers(self) -> list[Path]:
        """Half-written files: of a crash, or of the sweep that is at work."""
        half = sorted(
            Path(folder, name)
            for folder, _, names in os.walk(self.path)  # of tens of thousands of folders
            for name in names
            if name.startswith(TEMPORARY)
        )
        return half + [path for path in [self.compaction.staging] if path.is_dir()]

    def is_done(self, step: Step) -> bool:
        """Whether the step's result exists and every file of it verifies; a damaged one is
        remembered in `damaged`.
        """
        return bool(self.done([step]))

    def done(self, steps: Sequence[Step]) -> set[str]:
        """The result keys of those of the steps that are done (`is_done`), read in parallel. What
        has not changed since it was last looked at is not read again (`known`).
        """
        trials = [step for step in steps if step.kind != EXTRACTOR]
        keys = [step.result_key for step in steps if step.kind == EXTRACTOR]
        verified = self.trials.verify([row_of(step) for step in trials], self.known)
        found = {step.result_key: done for step, done in zip(trials, verified, strict=True)}
        tuned = in_parallel(lambda key: self.extractors.verify(key, self.known), keys)
        found |= dict(zip(keys, tuned, strict=True))
        outcomes = ((step.result_key, found[step.result_key]) for step in steps)
        return {key for key, exists in self.sound(outcomes) if exists}

    # run.json and the log

    @property
    def info(self) -> RunInfo:
        """What run.json records. Raises DamagedFile."""
        values = read_json(self.path / INFO)
        if not isinstance(values, dict):
            raise DamagedFile(f"{self.path / INFO}: not a JSON object")
        return RunInfo.from_json(values)

    def info_with(self, *names: str) -> RunInfo:
        """What run.json records, which must hold these keys. Raises DamagedFile that names the
        first that it lacks.
        """
        info = self.info
        for name in names:
            if name in info.absent:
                raise DamagedFile(f"{self.path / INFO}: no {name}")
        return info

    def write_info(self, info: RunInfo) -> None:
        """Writes run.json. Raises StorageError."""
        write_json(self.path / INFO, info.as_json())

    @property
    def attempts_folder(self) -> Path:
        """Where each process logs the starts and ends of steps (store/attempts.py)."""
        return self.path / "attempts"

    # What a report reads

    def plan(self) -> pl.DataFrame:
        """One row per step that any sweep on this folder planned (schemas.PLAN)."""
        return self.planned.read()

    def failures(self) -> list[attempts.Failure]:
        """Steps of the plan whose last attempt failed or was lost."""
        log = attempts.read_attempts(self.attempts_folder)
        return attempts.failures(log, self.plan().to_dicts())

    def split(self, category: str, seed: int) -> Split:
        """The split of a category under one seed. Raises DamagedFile, and remembers it."""
        with self.remembering():
            return self.splits.read(self.info.dataset, category, seed)

    def metrics(self) -> pl.DataFrame:
        """As `Trials.metrics`."""
        return self.trials.metrics()

    def image_counts(self, result_keys: Sequence[str]) -> dict[str, int]:
        """As `Trials.image_counts`."""
        return self.trials.image_counts(result_keys)

    def scores(self, result_key: str) -> pl.DataFrame:
        """As `Trials.scores`."""
        return self.trials.scores(result_key)

    def curves(self, result_key: str) -> pl.DataFrame:
        """As `Trials.curves`."""
        return self.trials.curves(result_key)

    def scores_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """As `Trials.scores_of`."""
        return self.trials.scores_of(result_keys, columns)

    def curves_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """As `Trials.curves_of`."""
        return self.trials.curves_of(result_keys, columns)

    def maps(self, result_key: str) -> tuple[list[str], NDArray[np.float32]]:
        """As `Trials.maps`."""
        return self.trials.maps(result_key)

    def bank(self, result_key: str) -> StoredBank | None:
        """As `Trials.bank`."""
        return self.trials.bank(result_key)

    def map_metadata(self, result_key: str) -> dict[str, str]:
        """As `Trials.map_metadata`."""
        return self.trials.map_metadata(result_key)
