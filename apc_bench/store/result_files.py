"""Files of one result: each says whose it is, so that a copy in another's place is damaged."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa

from apc_bench.errors import DamagedFile
from apc_bench.files.hashing import file_sha256
from apc_bench.store.files import NO_PLACE, count_rows, read_table


def read_result(
    path: Path,
    result_key: str,
    schema: pa.Schema | None = None,
    place: pa.Schema = NO_PLACE,
    columns: Sequence[str] | None = None,
) -> tuple[pa.Table, dict[str, str]]:
    """A result's table, without the columns `place`, and its metadata, as `read_table`. Raises
    DamagedFile, also for a table of another result.
    """
    table, metadata = read_table(path, schema, place, columns)
    check_owner(path, result_key, metadata)
    return table, metadata


def check_owner(path: Path, result_key: str, metadata: Mapping[str, str]) -> None:
    """Raises DamagedFile where the metadata name another result."""
    owner = metadata.get("result_key")
    if owner != result_key:
        raise DamagedFile(f"{path}: holds the result {owner}; its step will be done again")


def check_sha256(
    path: Path, sha256: str | None, sha256_of: Callable[[Path], str] = file_sha256
) -> None:
    """Raises DamagedFile where a file is missing or altered, RunError where a newer version wrote
    it. `sha256_of`: a file's hash, which may be remembered.
    """
    if not path.is_file():
        raise DamagedFile(f"{path}: missing; its step will be done again")
    if sha256_of(path) != sha256:
        if path.suffix == ".parquet":
            with suppress(DamagedFile):
                count_rows(path)
        raise DamagedFile(f"{path}: altered; its step will be done again")


def as_frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a polars frame of the same columns."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
