"""scores/, maps/, features/, curves/ and metrics/: what a trial leaves. The metrics, written last,
name the hashes of the other files and make the trial exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from apc_bench.errors import DamagedFile
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.store.compacted import KINDS
from apc_bench.store.files import count_rows, write_table
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.known_files import KnownFiles
from apc_bench.store.places import placed
from apc_bench.store.planned import PlannedSteps, row_of
from apc_bench.store.result_files import as_frame, check_owner, check_sha256, read_result
from apc_bench.store.result_tables import ResultTables, Row
from apc_bench.store.schemas import METRICS_TABLE, PLACE, maps_schema

HASH = "sha256."
"""In front of the kind of file, in the metadata of a trial's metrics, where its hash stands."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialResult:
    """All that a trial writes. `maps`: image names and (n, rows, columns) float16 with
    `map_metadata` for the schema's metadata.
    """

    scores: pa.Table
    maps: pa.Table
    map_metadata: Mapping[str, str]
    curves: pa.Table
    metrics: pa.Table
    features: pa.Table | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredBank:
    """A memory bank: vectors (m, d) float32, and of each the training image that it was seen in and
    the row and column (m,) int16 of its patch there.
    """

    vectors: NDArray[np.float32]
    images: tuple[str, ...]
    rows: NDArray[np.int16]
    columns: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.vectors)


class Trials:
    """The results of a run's trials, by result key."""

    def __init__(self, folder: RunFolder, planned: PlannedSteps) -> None:
        self._folder = folder
        self._planned = planned
        self.tables = ResultTables(folder)

    def write(self, step: Step, result: TrialResult) -> None:
        """Writes scores, maps, curves and features, then the metrics.

        Raises StorageError, TakenOver.
        """
        row = row_of(step)
        identity = {"result_key": step.result_key, "trial_id": step.trial_id}
        self._folder.check_holding()
        tables = {
            "scores": result.scores,
            "maps": result.maps,
            "curves": result.curves,
            "features": result.features,
        }
        hashes = {}
        for kind, table in tables.items():
            if table is None:
                continue
            metadata = {"kind": kind, **identity}
            if kind == "maps":
                metadata |= result.map_metadata
            table = placed(self._folder.schema, PLACE, row, table)
            hashes[f"{HASH}{kind}"] = self._write(self.tables.path(kind, row), table, metadata)
        self._folder.check_holding()
        metadata = {"kind": "metrics", **identity, **hashes}
        self._write(self.tables.path("metrics", row), result.metrics, metadata)

    def _write(self, path: Path, table: pa.Table, metadata: Mapping[str, str]) -> str:
        return write_table(path, table, metadata, self._folder.schema)

    def there(self, rows: Sequence[Row]) -> set[str]:
        """The result keys of the trials whose metrics exist and verify; damaged ones are
        remembered. `rows`: of the plan.
        """
        found = zip(rows, self.tables.metadata("metrics", rows), strict=True)
        return {row["result_key"] for row, known in self._folder.sound(found) if known is not None}

    def verify(self, rows: Sequence[Row], known: KnownFiles) -> list[bool | DamagedFile]:
        """Whether each trial's metrics exist; in the place of one of which a file does not verify
        its DamagedFile. `rows`: of the plan.
        """
        found = self.tables.metadata("metrics", rows)
        folded = {
            kind: {index: one.sha256 for index, one in self.tables.folded(kind, rows).items()}
            for kind in KINDS
            if kind != "metrics"
        }

        def check(index: int) -> bool:
            metadata = found[index]
            if isinstance(metadata, DamagedFile):
                raise metadata
            for name, sha256 in (metadata or {}).items():
                kind = name.removeprefix(HASH)
                if kind != name and sha256 != folded.get(kind, {}).get(index):
                    self._check(kind, rows[index], sha256, known)
            return metadata is not None

        return in_parallel(check, range(len(rows)))

    def _check(self, kind: str, row: Row, sha256: str, known: KnownFiles) -> None:
        """Raises DamagedFile unless the file of this hash is there, or compacted."""
        path = self.tables.path(kind, row)
        if kind in KINDS and not path.is_file():
            part = self.tables.verified_part(kind, row)
            if part is not None and part.small.sha256 == sha256:
                return
        check_sha256(path, sha256, known.sha256)

    def metrics(self) -> pl.DataFrame:
        """The metrics of every trial of the plan whose metrics file verifies
        (schemas.METRICS_TABLE); a damaged one is remembered.
        """
        trials = self._planned.read().filter(pl.col("kind") != EXTRACTOR).to_dicts()
        read = enumerate(self.tables.many("metrics", trials))
        frames = [frame for _, frame in self._folder.sound(read) if frame is not None]
        if not frames:
            return as_frame(METRICS_TABLE.empty_table())
        return pl.concat(frames, rechunk=True)

    def scores(self, result_key: str) -> pl.DataFrame:
        """One row per scored image of a trial (schemas.SCORES). Raises DamagedFile."""
        return self._read("scores", result_key)

    def curves(self, result_key: str) -> pl.DataFrame:
        """Points of a trial's curves (schemas.CURVES). Raises DamagedFile."""
        return self._read("curves", result_key)

    def scores_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Result key -> the scores of a trial, of many in one go; those that cannot be read are
        remembered and left out. `columns`: only these are read.

        Raises RunError for a trial that the plan has not.
        """
        return self._read_all("scores", result_keys, columns)

    def curves_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Result key -> the curves of a trial, as `scores_of`."""
        return self._read_all("curves", result_keys, columns)

    def _read(self, kind: str, result_key: str) -> pl.DataFrame:
        with self._folder.remembering():
            row = self._planned.row(result_key)
            frame = self.tables.one(kind, row)
            if frame is None:
                raise self._missing(kind, row)
        return frame

    def _read_all(
        self, kind: str, result_keys: Sequence[str], columns: Sequence[str] | None
    ) -> dict[str, pl.DataFrame]:
        rows = [self._planned.row(key) for key in result_keys]
        read = self.tables.many(kind, rows, columns)
        found = [
            self._missing(kind, row) if frame is None else frame
            for row, frame in zip(rows, read, strict=True)
        ]
        return dict(self._folder.sound(zip(result_keys, found, strict=True)))

    def _missing(self, kind: str, row: Row) -> DamagedFile:
        return DamagedFile(f"{self.tables.path(kind, row)}: missing; its step will be done again")

    def image_counts(self, result_keys: Sequence[str]) -> dict[str, int]:
        """How many images each trial scored; a trial whose scores do not verify is left out. Reads
        footers only (files.count_rows).
        """
        rows = [self._planned.row(key) for key in result_keys]
        counts = zip(result_keys, in_parallel(self._image_count, rows), strict=True)
        return {key: count for key, count in counts if not isinstance(count, DamagedFile)}

    def _image_count(self, row: Row) -> int:
        path = self.tables.path("scores", row)
        if not path.is_file() and (found := self.tables.part("scores", row)):
            return found[1].rows
        try:
            count, metadata = count_rows(path)
            check_owner(path, row["result_key"], metadata)
        except DamagedFile:
            if path.is_file() or (found := self.tables.part("scores", row)) is None:
                raise
            return found[1].rows  # folded since it was looked for
        return count

    def maps(self, result_key: str) -> tuple[list[str], NDArray[np.float32]]:
        """Image names and anomaly maps (n, rows, columns) in the detector's own unit. Raises
        DamagedFile.
        """
        with self._folder.remembering():
            path = self.tables.path("maps", self._planned.row(result_key))
            table, metadata = read_result(path, result_key, place=PLACE)
            rows, columns = (int(number) for number in metadata.get("grid", "0x0").split("x"))
            known = [maps_schema((rows, columns), half=half) for half in (True, False)]
            if table.schema not in known:
                raise DamagedFile(f"{path}: other columns than expected")
        flat = table["map"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = flat.astype(np.float32).reshape(-1, rows, columns)
        return table["image"].to_pylist(), values / np.float32(metadata["scale"])

    def bank(self, result_key: str) -> StoredBank | None:
        """A trial's memory bank; None where the run did not keep it (`--features bank`). Raises
        DamagedFile.
        """
        with self._folder.remembering():
            path = self.tables.path("features", self._planned.row(result_key))
            if not path.is_file():
                return None
            table, _ = read_result(path, result_key, place=PLACE)
        vectors = table["vector"].combine_chunks()
        values: NDArray[np.float32] = vectors.flatten().to_numpy(zero_copy_only=False)
        return StoredBank(
            values.reshape(len(vectors), -1),
            tuple(table["image"].to_pylist()),
            table["row"].to_numpy(),
            table["column"].to_numpy(),
        )

    def map_metadata(self, result_key: str) -> dict[str, str]:
        """What a trial's maps are measured in: `unit`, `sigma` of the smoothing, `image_size` of
        the input, `grid`. Raises DamagedFile.
        """
        return count_rows(self.tables.path("maps", self._planned.row(result_key)))[1]
