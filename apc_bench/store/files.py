"""Single files of a run folder: written whole or not at all, and read only if they verify
(docs/architecture.md, "Storage and determinism").

A file is written beside its name, synced and renamed. Parquet carries page checksums, without which
most flipped bits pass silently, and a seal over what stands in its footer, which the page checksums
do not cover.
"""

import errno
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from apc_bench.errors import DamagedFile, RunError, StorageError
from apc_bench.files.disk import sync
from apc_bench.files.hashing import digest, file_sha256
from apc_bench.store.places import without_place
from apc_bench.store.schemas import OLDEST_SCHEMA, SCHEMA_VERSION

TEMPORARY = ".tmp-"
_PREFIX = "apc_bench."
_SEAL = "seal"
_FEW_ROWS = 64
NO_PLACE = pa.schema([])
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, write: Callable[[Path], object]) -> str:
    """Calls `write` with a temporary path, then syncs and renames it to `path`. Returns the sha256
    of what was written.

    Raises StorageError (a full disk, a missing permission); then nothing of the file is left.
    """
    temporary = path.with_name(
        f"{TEMPORARY}{path.name}.{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        sync(temporary)
        sha256 = file_sha256(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise storage_error(path, error) from None
    finally:
        # Where even the folder is missing or refused, the error above says so.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return sha256


def storage_error(path: Path, error: OSError) -> StorageError:
    """What is to be raised where `path` cannot be written."""
    free = ""
    if error.errno in _FULL:
        with suppress(OSError):
            free = f"; {shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free"
    why = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    return StorageError(
        f"cannot write {path}: {why}{free}; make room or mend the permission, then run the same"
        " command again"
    )


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, keys in the order given."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises DamagedFile that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedFile(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedFile(
            f"{path}: not a readable JSON file ({' '.join(str(error).split())[:120]})"
        ) from None


def write_table(
    path: Path,
    table: pa.Table,
    metadata: Mapping[str, str],
    schema: int = SCHEMA_VERSION,
    groups: Sequence[int] = (),
) -> str:
    """Writes a Parquet file: zstd (a few rows: plain), page checksums, `metadata`, the schema
    version and the seal in the schema. `groups`: rows of each row group; one of all by default.

    Returns its sha256. Raises StorageError.
    """
    own = {"schema": str(schema), **metadata}
    own[_SEAL] = _seal(table.column_names, table.num_rows, own)
    sealed = table.replace_schema_metadata(_prefixed(own))
    encoding: dict[str, Any] = {"compression": "zstd"}
    if table.num_rows < _FEW_ROWS:
        # Each column of a table of metrics is a handful of numbers: dictionaries and compression
        # make it larger, and twice as slow to read.
        encoding = {"compression": "none", "use_dictionary": False}

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(
            _local(temporary), sealed.schema, write_page_checksum=True, **encoding
        ) as writer:
            start = 0
            for rows in groups or (sealed.num_rows,):
                writer.write_table(sealed.slice(start, rows), row_group_size=max(1, rows))
                start += rows

    return write_atomically(path, write)


def _local(path: Path) -> Path:
    """As PyArrow cannot take it for a URI: it would of a relative path as `exp:1/plan.parquet`."""
    return path.absolute()


def read_table(
    path: Path,
    schema: pa.Schema | None = None,
    place: pa.Schema = NO_PLACE,
    columns: Sequence[str] | None = None,
) -> tuple[pa.Table, dict[str, str]]:
    """Reads and verifies a Parquet file: the table, without the columns `place` that say whose it
    is, and its metadata without the prefix. `columns`: only these of it are read.

    Raises DamagedFile for a file that is truncated, altered, foreign or of another schema, RunError
    for one of a newer version.
    """
    with _readable(path), pq.ParquetFile(_local(path), page_checksum_verification=True) as file:
        table = file.read(columns=columns, use_threads=False)
        whole, rows = file.schema_arrow, file.metadata.num_rows
    metadata = _verified(path, whole, rows)
    own = without_place(path, int(metadata["schema"]), place, whole)
    if schema is not None and not own.equals(schema):
        raise DamagedFile(f"{path}: other columns than expected")
    return table.select(columns or own.names).replace_schema_metadata(None), metadata


def count_rows(path: Path) -> tuple[int, dict[str, str]]:
    """The number of rows of a Parquet file and its metadata, as `read_footer`."""
    footer = read_footer(path)
    return sum(footer.groups), footer.metadata


@dataclass(frozen=True, slots=True, eq=False)
class Footer:
    """What a Parquet file says of itself: its columns, the rows of each row group, its metadata."""

    columns: pa.Schema
    groups: tuple[int, ...]
    metadata: dict[str, str]


def read_footer(path: Path) -> Footer:
    """The sealed footer of a Parquet file: the pages are neither read nor verified.

    Raises DamagedFile and RunError as `read_table`.
    """
    with _readable(path), pq.ParquetFile(_local(path)) as file:
        schema, parquet = file.schema_arrow, file.metadata
        groups = tuple(parquet.row_group(index).num_rows for index in range(parquet.num_row_groups))
    metadata = _verified(path, schema, parquet.num_rows)
    if sum(groups) != parquet.num_rows:
        raise DamagedFile(f"{path}: altered (its row groups do not fit)")
    return Footer(pa.schema([*schema]), groups, metadata)


def read_groups(
    path: Path, groups: Sequence[int], columns: Sequence[str] | None = None
) -> pa.Table:
    """Some row groups of a Parquet file, verified, one after the other; `columns`: only these.

    Raises DamagedFile where one of them does not verify.
    """
    with _readable(path), pq.ParquetFile(_local(path), page_checksum_verification=True) as file:
        table = file.read_row_groups([*groups], columns=columns, use_threads=False)
    return table.replace_schema_metadata(None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFile(
            f"{path}: not a readable Parquet file ({' '.join(str(error).split())[:120]})"
        ) from None


def _verified(path: Path, schema: pa.Schema, rows: int) -> dict[str, str]:
    """The metadata of a file, without the prefix, if its version and seal fit."""
    with _readable(path):
        texts = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
        columns = schema.names
    own = {
        name.removeprefix(_PREFIX): value
        for name, value in texts.items()
        if name.startswith(_PREFIX)
    }
    _check_version(path, own.get("schema", ""))
    if own.pop(_SEAL, None) != _seal(columns, rows, own):
        raise DamagedFile(f"{path}: altered (its seal does not fit)")
    return own


def too_new(path: Path, version: object) -> RunError:
    """What is to be raised of a file or run of a schema that this version does not know."""
    return RunError(
        f"{path}: written by a newer apc-bench (schema {version}, this one reads"
        f" {SCHEMA_VERSION}); update apc-bench"
    )


def _check_version(path: Path, version: str) -> None:
    if not (version.isascii() and version.isdigit()):
        raise DamagedFile(f"{path}: not a file of apc-bench (no schema version)")
    if int(version) > SCHEMA_VERSION:
        raise too_new(path, version)
    if int(version) < OLDEST_SCHEMA:
        raise DamagedFile(
            f"{path}: written by an older apc-bench (schema {version}, this one reads"
            f" {OLDEST_SCHEMA} to {SCHEMA_VERSION})"
        )


def _seal(columns: list[str], rows: int, own: Mapping[str, str]) -> str:
    return digest([columns, rows, _prefixed(own)])


def _prefixed(own: Mapping[str, str]) -> dict[str, str]:
    return {f"{_PREFIX}{name}": value for name, value in own.items()}
