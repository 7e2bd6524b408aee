"""scores/, maps/, features/, curves/ and metrics/: what a trial leaves. The metrics, written last,
name the hashes of the other files and make the trial exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from apc_bench.errors import DamagedFile
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.store.files import count_rows, write_table
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.places import folders_of, placed
from apc_bench.store.planned import PlannedSteps, row_of
from apc_bench.store.result_files import as_frame, check_owner, check_sha256, read_result
from apc_bench.store.schemas import CURVES, METRICS_TABLE, PLACE, SCORES, maps_schema

_HASH = "sha256."


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


class Trials:
    """The results of a run's trials, by result key."""

    def __init__(self, folder: RunFolder, planned: PlannedSteps) -> None:
        self._folder = folder
        self._planned = planned

    def write(self, step: Step, result: TrialResult) -> None:
        """Writes scores, maps, curves and features, then the metrics.

        Raises StorageError, TakenOver.
        """
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
            table = placed(self._folder.schema, PLACE, row_of(step), table)
            hashes[f"{_HASH}{kind}"] = self._write(self._path_of(kind, step), table, metadata)
        self._folder.check_holding()
        metadata = {"kind": "metrics", **identity, **hashes}
        self._write(self._path_of("metrics", step), result.metrics, metadata)

    def _write(self, path: Path, table: pa.Table, metadata: Mapping[str, str]) -> str:
        return write_table(path, table, metadata, self._folder.schema)

    def verify(self, step: Step) -> bool:
        """Whether the trial's metrics exist. Raises DamagedFile where a file of it does not
        verify.
        """
        path = self._path_of("metrics", step)
        if not path.is_file():
            return False
        _, metadata = read_result(path, step.result_key, METRICS_TABLE)
        for name, sha256 in metadata.items():
            if name.startswith(_HASH):
                check_sha256(self._path_of(name.removeprefix(_HASH), step), sha256)
        return True

    def metrics(self) -> pl.DataFrame:
        """The metrics of every trial of the plan whose metrics file verifies
        (schemas.METRICS_TABLE); a damaged one is remembered.
        """
        trials = self._planned.read().filter(pl.col("kind") != EXTRACTOR).to_dicts()
        read = enumerate(in_parallel(self._metrics_of, trials))
        tables = [table for _, table in self._folder.sound(read) if table is not None]
        if not tables:
            return as_frame(METRICS_TABLE.empty_table())
        return as_frame(pa.concat_tables(tables).combine_chunks())

    def _metrics_of(self, row: Mapping[str, Any]) -> pa.Table | None:
        path = self._path("metrics", row)
        if not path.is_file():
            return None
        return read_result(path, row["result_key"], METRICS_TABLE)[0]

    def scores(self, result_key: str) -> pl.DataFrame:
        """One row per scored image of a trial (schemas.SCORES). Raises DamagedFile."""
        return self._read("scores", result_key, SCORES)

    def curves(self, result_key: str) -> pl.DataFrame:
        """Points of a trial's curves (schemas.CURVES). Raises DamagedFile."""
        return self._read("curves", result_key, CURVES)

    def scores_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Result key -> the scores of a trial, of many in one go; those that cannot be read are
        remembered and left out. `columns`: only these are read.

        Raises RunError for a trial that the plan has not.
        """
        return self._read_all("scores", result_keys, SCORES, columns)

    def curves_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Result key -> the curves of a trial, as `scores_of`."""
        return self._read_all("curves", result_keys, CURVES, columns)

    def _read_all(
        self,
        kind: str,
        result_keys: Sequence[str],
        schema: pa.Schema,
        columns: Sequence[str] | None,
    ) -> dict[str, pl.DataFrame]:
        paths = [self._path(kind, self._planned.row(key)) for key in result_keys]

        def read(key: str, path: Path) -> pl.DataFrame:
            return as_frame(read_result(path, key, schema, PLACE, columns)[0])

        found = in_parallel(read, result_keys, paths)
        return dict(self._folder.sound(zip(result_keys, found, strict=True)))

    def _read(self, kind: str, result_key: str, schema: pa.Schema) -> pl.DataFrame:
        with self._folder.remembering():
            path = self._path(kind, self._planned.row(result_key))
            return as_frame(read_result(path, result_key, schema, PLACE)[0])

    def image_counts(self, result_keys: Sequence[str]) -> dict[str, int]:
        """How many images each trial scored; a trial whose scores do not verify is left out. Reads
        footers only (files.count_rows).
        """
        counts = zip(result_keys, in_parallel(self._image_count, result_keys), strict=True)
        return {key: count for key, count in counts if not isinstance(count, DamagedFile)}

    def _image_count(self, result_key: str) -> int:
        path = self._path("scores", self._planned.row(result_key))
        count, metadata = count_rows(path)
        check_owner(path, result_key, metadata)
        return count

    def maps(self, result_key: str) -> tuple[list[str], NDArray[np.float32]]:
        """Image names and anomaly maps (n, rows, columns) in the detector's own unit. Raises
        DamagedFile.
        """
        with self._folder.remembering():
            path = self._path("maps", self._planned.row(result_key))
            table, metadata = read_result(path, result_key, place=PLACE)
            rows, columns = (int(number) for number in metadata.get("grid", "0x0").split("x"))
            known = [maps_schema((rows, columns), half=half) for half in (True, False)]
            if table.schema not in known:
                raise DamagedFile(f"{path}: other columns than expected")
        flat = table["map"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = flat.astype(np.float32).reshape(-1, rows, columns)
        return table["image"].to_pylist(), values / np.float32(metadata["scale"])

    def map_metadata(self, result_key: str) -> dict[str, str]:
        """What a trial's maps are measured in: `unit`, `sigma` of the smoothing, `image_size` of
        the input, `grid`. Raises DamagedFile.
        """
        return count_rows(self._path("maps", self._planned.row(result_key)))[1]

    def _path_of(self, kind: str, step: Step) -> Path:
        return self._path(kind, row_of(step))

    def _path(self, kind: str, row: Mapping[str, Any]) -> Path:
        folders = folders_of(self._folder.schema, PLACE, row)
        return self._folder.path / kind / folders / f"{row['result_key']}.parquet"
