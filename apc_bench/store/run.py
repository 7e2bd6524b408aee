"""The run folder: the only writer and the only reader of a run's files (layout:
docs/architecture.md, "Run folder").

A trial exists when its metrics file exists and verifies, and with it every file whose sha256 it
names; so does an extractor by its training curves.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from apc_bench.datasets.split import Split
from apc_bench.errors import DamagedFile, RunError, TakenOver
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.store import attempts
from apc_bench.store.files import (
    TEMPORARY,
    count_rows,
    file_sha256,
    read_json,
    read_table,
    write_atomically,
    write_json,
    write_table,
)
from apc_bench.store.info import INFO, RunInfo, is_run
from apc_bench.store.lock import held, holding
from apc_bench.store.schemas import (
    CURVES,
    METRICS_TABLE,
    PLAN,
    SCHEMA_VERSION,
    SCORES,
    SPLIT,
    TRAINING,
    maps_schema,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that was tried and is not done: its last reason, and the traceback where there is
    one.
    """

    result_key: str
    kind: str
    category: str
    method: str
    shots: int
    seed: int
    reason: str
    traceback: str | None


@dataclass(frozen=True, slots=True, eq=False)
class TrialResult:
    """All that a trial writes. `maps`: image names and (n, rows, columns) float16 with `map_marks`
    for the schema's metadata.
    """

    scores: pa.Table
    maps: pa.Table
    map_marks: Mapping[str, str]
    curves: pa.Table
    metrics: pa.Table
    features: pa.Table | None = None


class Run:
    """One run folder. `holding`: the sweep that a worker writes for, which outlives its driver's
    death but must not write into a later sweep.
    """

    def __init__(self, path: Path, holding: str | None = None) -> None:
        self.path = path
        self.holding = holding
        self.damaged: list[str] = []
        self._planned: dict[str, dict[str, Any]] = {}

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
            raise RunError(
                f"{path}: written by a newer apc-bench (schema {info.schema}, this one reads"
                f" {SCHEMA_VERSION}); update apc-bench"
            )
        return run

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

    # Writing

    def lock(self) -> AbstractContextManager[str]:
        """Holds the folder for this process until the end of `with`; the kernel frees it when the
        process ends, however it ends.

        Gives the holding's name. Raises RunError that names the holder.
        """
        return held(self.path)

    def _check_holding(self) -> None:
        if self.holding is not None and holding(self.path) not in (self.holding, None):
            raise TakenOver(
                f"{self.path} has been taken over by a later sweep, which does this step itself"
            )

    def clean(self) -> int:
        """Removes half-written files that a crash left behind; only the holder of the lock may.
        Returns how many.
        """
        left = self.leftovers()
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def leftovers(self) -> list[Path]:
        """Half-written files: of a crash, or of the sweep that is at work."""
        return sorted(path for path in self.path.rglob(f"{TEMPORARY}*") if path.is_file())

    def write_info(self, info: RunInfo) -> None:
        """Writes run.json."""
        write_json(self.path / INFO, info.as_json())

    def write_plan(self, steps: Iterable[Step]) -> None:
        """Adds the steps to plan.parquet; what an earlier sweep planned stays. A damaged plan is
        begun anew and remembered in `damaged`.
        """
        rows = {row["result_key"]: row for row in self._planned_before()}
        for step in steps:
            rows[step.result_key] = {
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
        write_table(
            self.path / "plan.parquet",
            pa.Table.from_pylist(list(rows.values()), PLAN),
            {"kind": "plan"},
        )

    def has_plan(self) -> bool:
        """Whether a sweep has planned steps here, so that the folder is a run though its run.json
        be lost.
        """
        return (self.path / "plan.parquet").is_file()

    def _planned_before(self) -> list[dict[str, Any]]:
        if not self.has_plan():
            return []
        try:
            return self.plan().to_dicts()
        except DamagedFile as error:
            self.damaged.append(
                f"{error}; steps that only earlier commands planned come back when those commands"
                " run again"
            )
            return []

    def write_split(self, split: Split) -> None:
        """Writes who is train, reserved and test for one category and seed."""
        rows = [
            {
                "image": row.sample.image,
                "mask": row.sample.mask,
                "sha256": row.sha256,
                "group": row.sample.group,
                "part": row.sample.part,
                "defect_type": row.sample.defect_type,
                "label": row.sample.anomalous,
                "split": row.split,
                "draw": row.draw,
                "held_out": row.held_out,
            }
            for row in split.rows
        ]
        path = self._split_path(split.dataset, split.category, split.seed)
        write_table(
            path,
            pa.Table.from_pylist(rows, SPLIT),
            {"kind": "split", "reserve": str(split.reserve)},
        )

    def write_extractor(
        self, step: Step, weights: bytes, curves: pa.Table, marks: Mapping[str, str]
    ) -> None:
        """Writes the weights (safetensors bytes), then the training curves, which name the weights'
        hash and make the extractor exist.

        Raises StorageError, TakenOver.
        """
        self._check_holding()
        sha256 = write_atomically(
            self._weights_path(step.result_key), lambda path: path.write_bytes(weights)
        )
        self._check_holding()
        identity = {"kind": "training", "result_key": step.result_key, "weights_sha256": sha256}
        write_table(
            self._training_path(step.result_key), curves.cast(TRAINING), {**identity, **marks}
        )

    def write_trial(self, step: Step, result: TrialResult) -> None:
        """Writes scores, maps, curves and features, then the metrics, which name their hashes and
        make the trial exist.

        Raises StorageError, TakenOver.
        """
        identity = {"result_key": step.result_key, "trial_id": step.trial_id}
        self._check_holding()
        tables = {
            "scores": result.scores,
            "maps": result.maps,
            "curves": result.curves,
            "features": result.features,
        }
        files = {}
        for kind, table in tables.items():
            if table is not None:
                marks = {"kind": kind, **identity, **(result.map_marks if kind == "maps" else {})}
                files[f"sha256.{kind}"] = write_table(self._trial_path(kind, step), table, marks)
        self._check_holding()
        write_table(
            self._trial_path("metrics", step),
            result.metrics,
            {"kind": "metrics", **identity, **files},
        )

    # Reading

    def is_done(self, step: Step) -> bool:
        """Whether the step's result exists and every file of it verifies; a damaged one is
        remembered in `damaged`.
        """
        if step.kind == EXTRACTOR:
            return self.has_extractor(step.result_key)
        try:
            return self._trial_verifies(step)
        except DamagedFile as error:
            self.damaged.append(str(error))
            return False

    def has_extractor(self, key: str) -> bool:
        """Whether a fine-tuned extractor exists and verifies; a damaged one is remembered in
        `damaged`.
        """
        try:
            return self._extractor_verifies(key)
        except DamagedFile as error:
            self.damaged.append(str(error))
            return False

    def _extractor_verifies(self, key: str) -> bool:
        path = self._training_path(key)
        if not path.is_file():
            return False
        self.extractor(key)
        return True

    def _trial_verifies(self, step: Step) -> bool:
        path = self._trial_path("metrics", step)
        if not path.is_file():
            return False
        _, marks = _read_own(path, step.result_key, METRICS_TABLE)
        for mark, sha256 in marks.items():
            if mark.startswith("sha256."):
                self._check_hash(self._trial_path(mark.removeprefix("sha256."), step), sha256)
        return True

    def _check_hash(self, path: Path, sha256: str | None) -> None:
        if not path.is_file():
            raise DamagedFile(f"{path}: missing; its step will be done again")
        if file_sha256(path) != sha256:
            with suppress(DamagedFile):
                if path.suffix == ".parquet":
                    count_rows(path)  # a RunError where a newer version wrote it
            raise DamagedFile(f"{path}: altered; its step will be done again")

    def extractor(self, key: str) -> tuple[Path, dict[str, str], pl.DataFrame]:
        """A fine-tuned extractor: its safetensors file, its marks (see steps.py) and its training
        curves. Raises DamagedFile.
        """
        table, marks = _read_own(self._training_path(key), key, TRAINING)
        self._check_hash(self._weights_path(key), marks.get("weights_sha256"))
        return self._weights_path(key), marks, _frame(table)

    def plan(self) -> pl.DataFrame:
        """One row per step that any sweep on this folder planned."""
        return _frame(read_table(self.path / "plan.parquet", PLAN)[0])

    def metrics(self) -> pl.DataFrame:
        """The metrics of every trial of the plan whose metrics file verifies; what does not is
        named in `damaged`.
        """
        trials = self.plan().filter(pl.col("kind") != EXTRACTOR).to_dicts()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(self._metrics_of, trials))
        self.damaged += [str(one) for one in found if isinstance(one, DamagedFile)]
        tables = [one for one in found if isinstance(one, pa.Table)]
        return _frame(
            pa.concat_tables(tables).combine_chunks() if tables else METRICS_TABLE.empty_table()
        )

    def _metrics_of(self, trial: Mapping[str, Any]) -> pa.Table | DamagedFile | None:
        path = self._row_path("metrics", trial)
        try:
            return (
                _read_own(path, trial["result_key"], METRICS_TABLE)[0] if path.is_file() else None
            )
        except DamagedFile as error:
            return error

    def failures(self) -> list[Failure]:
        """Steps of the plan whose last attempt failed or was lost."""
        last: dict[str, attempts.Attempt] = {}
        for attempt in attempts.read_attempts(self.attempts_folder):
            last[attempt.result_key] = attempt
        failures = []
        for row in self.plan().iter_rows(named=True):
            end = last.get(row["result_key"])
            if end and end.event in (attempts.FAILED, attempts.LOST):
                where = (row["category"], row["method"], row["shots"], row["seed"])
                failures.append(
                    Failure(
                        row["result_key"],
                        row["kind"],
                        *where,
                        end.reason or end.event,
                        end.traceback,
                    )
                )
        return failures

    def scores(self, result_key: str) -> pl.DataFrame:
        """One row per scored image of a trial (schemas.SCORES). Raises DamagedFile."""
        with self._remembering():
            return _frame(_read_own(self._key_path("scores", result_key), result_key, SCORES)[0])

    def image_counts(self, result_keys: Sequence[str]) -> dict[str, int]:
        """How many images each trial scored; a trial whose scores do not verify is left out. Reads
        footers only (files.count_rows).
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(self._image_count, result_keys)
        return {
            key: count for key, count in zip(result_keys, found, strict=True) if count is not None
        }

    def _image_count(self, result_key: str) -> int | None:
        path = self._key_path("scores", result_key)
        try:
            count, marks = count_rows(path)
            _check_own(path, result_key, marks)
        except DamagedFile:
            return None
        return count

    def curves(self, result_key: str) -> pl.DataFrame:
        """Points of a trial's curves (schemas.CURVES). Raises DamagedFile."""
        with self._remembering():
            return _frame(_read_own(self._key_path("curves", result_key), result_key, CURVES)[0])

    def maps(self, result_key: str) -> tuple[list[str], NDArray[np.float32]]:
        """Image names and anomaly maps (n, rows, columns) in the detector's own unit. Raises
        DamagedFile.
        """
        with self._remembering():
            path = self._key_path("maps", result_key)
            table, marks = _read_own(path, result_key)
            rows, columns = (int(number) for number in marks.get("grid", "0x0").split("x"))
            if table.schema not in [
                maps_schema((rows, columns), half=half) for half in (True, False)
            ]:
                raise DamagedFile(f"{path}: other columns than expected")
        values = (
            table["map"]
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .astype(np.float32)
        )
        return table["image"].to_pylist(), values.reshape(-1, rows, columns) / np.float32(
            marks["scale"]
        )

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """A file that is damaged is remembered in `damaged`, once, whoever goes on without it."""
        try:
            yield
        except DamagedFile as error:
            if str(error) not in self.damaged:
                self.damaged.append(str(error))
            raise

    def map_marks(self, result_key: str) -> dict[str, str]:
        """What a trial's maps are measured in: `unit`, `sigma` of the smoothing, `image_size` of
        the input, `grid`. Raises DamagedFile.
        """
        return count_rows(self._key_path("maps", result_key))[1]

    def split(self, category: str, seed: int) -> pl.DataFrame:
        """One row per image of a category (schemas.SPLIT). Raises DamagedFile."""
        dataset = self.info.dataset
        return _frame(read_table(self._split_path(dataset, category, seed), SPLIT)[0])

    @property
    def attempts_folder(self) -> Path:
        return self.path / "attempts"

    # Places

    def _split_path(self, dataset: str, category: str, seed: int) -> Path:
        return (
            self.path
            / "splits"
            / f"dataset={dataset}"
            / f"category={category}"
            / f"seed={seed}"
            / "split.parquet"
        )

    def _weights_path(self, key: str) -> Path:
        return self.path / "extractors" / f"{key}.safetensors"

    def _training_path(self, key: str) -> Path:
        return self.path / "extractors" / f"{key}.parquet"

    def _trial_path(self, kind: str, step: Step) -> Path:
        row = {
            "dataset": step.dataset,
            "category": step.category,
            "method": step.method,
            "shots": step.shots,
            "seed": step.seed,
        }
        return self._row_path(kind, {**row, "result_key": step.result_key})

    def _row_path(self, kind: str, row: Mapping[str, Any]) -> Path:
        folders = [
            f"{name}={row[name]}" for name in ("dataset", "category", "method", "shots", "seed")
        ]
        return self.path.joinpath(kind, *folders, f"{row['result_key']}.parquet")

    def _key_path(self, kind: str, result_key: str) -> Path:
        if result_key not in self._planned:  # a sweep may have added it since
            self._planned = {row["result_key"]: row for row in self.plan().iter_rows(named=True)}
        if result_key not in self._planned:
            raise RunError(f"{self.path}: no step {result_key} in its plan")
        return self._row_path(kind, self._planned[result_key])


def _read_own(
    path: Path, result_key: str, schema: pa.Schema | None = None
) -> tuple[pa.Table, dict[str, str]]:
    """A file of a result, which must say so itself: one that was copied to another's place is
    damaged.
    """
    table, marks = read_table(path, schema)
    _check_own(path, result_key, marks)
    return table, marks


def _check_own(path: Path, result_key: str, marks: Mapping[str, str]) -> None:
    if marks.get("result_key") != result_key:
        raise DamagedFile(
            f"{path}: holds the result {marks.get('result_key')}; its step will be done again"
        )


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
