"""extractors/: fine-tuned weights, and the training curves that make them exist."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from apc_bench.plan import Step
from apc_bench.store.files import write_atomically, write_table
from apc_bench.store.folder import RunFolder
from apc_bench.store.known_files import KnownFiles
from apc_bench.store.places import placed
from apc_bench.store.planned import row_of
from apc_bench.store.result_files import as_frame, check_sha256, read_result
from apc_bench.store.schemas import PLACE, TRAINING


@dataclass(frozen=True, slots=True, eq=False)
class Extractor:
    """A fine-tuned extractor: its safetensors file, its metadata (`seconds` of the fine-tuning,
    `notes` by line), its training curves (schemas.TRAINING).
    """

    weights: Path
    metadata: Mapping[str, str]
    curves: pl.DataFrame


class Extractors:
    """The fine-tuned extractors of a run, by result key."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def write(
        self,
        step: Step,
        weights: bytes,
        curves: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, str],
    ) -> None:
        """Writes the weights (safetensors bytes), then the training curves (rows of
        schemas.TRAINING), which name the weights' hash and make the extractor exist.

        Raises StorageError, TakenOver.
        """
        key = step.result_key
        self._folder.check_holding()
        sha256 = write_atomically(self._weights(key), lambda path: path.write_bytes(weights))
        self._folder.check_holding()
        identity = {"kind": "training", "result_key": key, "weights_sha256": sha256}
        schema = self._folder.schema
        table = placed(schema, PLACE, row_of(step), pa.Table.from_pylist([*curves], TRAINING))
        write_table(self._training(key), table, {**identity, **metadata}, schema)

    def verify(self, key: str, known: KnownFiles) -> bool:
        """Whether a fine-tuned extractor exists. Raises DamagedFile where it does not verify."""
        path = self._training(key)
        if not path.is_file():
            return False
        named = known.read(path, lambda path: self._curves(key)[1].get("weights_sha256", ""))
        check_sha256(self._weights(key), named, known.sha256)
        return True

    def there(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys whose files are there, unread: weights of thousands are hundreds of
        gigabytes.
        """
        folder = self._folder.path / "extractors"
        names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        return {key for key in keys if {f"{key}.parquet", f"{key}.safetensors"} <= names}

    def read(self, key: str) -> Extractor:
        """A fine-tuned extractor that verifies. Raises DamagedFile."""
        table, metadata = self._curves(key)
        check_sha256(self._weights(key), metadata.get("weights_sha256"))
        return Extractor(self._weights(key), metadata, as_frame(table))

    def _curves(self, key: str) -> tuple[pa.Table, dict[str, str]]:
        return read_result(self._training(key), key, TRAINING, PLACE)

    def _weights(self, key: str) -> Path:
        return self._folder.path / "extractors" / f"{key}.safetensors"

    def _training(self, key: str) -> Path:
        return self._folder.path / "extractors" / f"{key}.parquet"
