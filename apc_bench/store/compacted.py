"""Files that hold what many trials of a category left:
`scores/DATASET/CATEGORY/compacted-HASH.parquet`, and so for metrics and curves.

Such a file has the columns of the small files that it stands for, so that whoever reads the folder
finds the same rows. Its sealed footer lists its trials, each with the metadata and the hash of its
small file, by which its metrics name it. Its own name is its hash, so it never changes: a file that
replaces it has another name. Row groups begin with a trial, so that a damaged page costs the trials
of one group.
"""

import itertools
import json
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from apc_bench.errors import DamagedFile, StorageError
from apc_bench.files.hashing import file_sha256
from apc_bench.store.files import Footer, read_footer, read_groups, write_table
from apc_bench.store.folder import in_parallel
from apc_bench.store.result_files import as_frame

KINDS = ("metrics", "scores", "curves")
"""What is compacted. Metrics come first wherever trials are taken out: they make a trial exist."""

_PREFIX = "compacted-"
_TRIALS = "trials"
_DIGITS = 16
_ROWS_A_GROUP = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class SmallFile:
    """What was known of a trial's own file: its sha256 and its metadata."""

    sha256: str
    metadata: Mapping[str, str]

    @property
    def result_key(self) -> str:
        """Whose it is."""
        return self.metadata["result_key"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A trial's rows in a compacted file: `rows` of a row group, `offset` rows after its start."""

    path: Path
    small: SmallFile
    group: int
    offset: int
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class CompactedFile:
    """A compacted file whose footer verifies: its columns, and its parts by result key."""

    path: Path
    columns: pa.Schema
    groups: tuple[int, ...]
    parts: Mapping[str, Part]

    def is_sound(self) -> bool:
        """Whether every byte is as it was written. Raises OSError."""
        return self.path.name == _named(file_sha256(self.path))

    def frames(
        self, parts: Sequence[Part], columns: Sequence[str] | None = None
    ) -> list[pl.DataFrame | DamagedFile]:
        """The rows of each part; where the pages of its row group do not verify, the DamagedFile.
        `columns`: only these, in their order.
        """

        def read(groups: Sequence[int]) -> pl.DataFrame:
            frame = as_frame(read_groups(self.path, groups, columns))
            return frame.select(columns or pl.all())

        return self._read(parts, read)

    def tables(self, parts: Sequence[Part]) -> list[pa.Table | DamagedFile]:
        """As `frames`, as they are in the file."""
        return self._read(parts, lambda groups: read_groups(self.path, groups))

    def _read(self, parts: Sequence[Part], read: Callable[[Sequence[int]], Any]) -> list[Any]:
        wanted = sorted({part.group for part in parts})
        found: dict[int, Any] = {}
        try:
            whole, start = read(wanted), 0
            for group in wanted:
                found[group] = whole.slice(start, self.groups[group])
                start += self.groups[group]
        except DamagedFile:
            for group in wanted:
                found[group] = in_parallel(read, [[group]])[0]
        return [_cut(found[part.group], part) for part in parts]


def _cut(rows: Any, part: Part) -> Any:
    return rows if isinstance(rows, DamagedFile) else rows.slice(part.offset, part.rows)


def compacted_in(folder: Path) -> list[Path]:
    """The compacted files of a category's folder."""
    return sorted(folder.glob(f"{_PREFIX}*.parquet"))


def open_compacted(path: Path) -> CompactedFile:
    """A compacted file by its footer. Raises DamagedFile, RunError for one of a newer version."""
    footer = read_footer(path)
    starts = [0, *itertools.accumulate(footer.groups)]
    parts: dict[str, Part] = {}
    row = 0
    for small, rows in _listed(path, footer):
        # A trial without rows stands at the end of the group before it, or in the first.
        group = max(0, bisect(starts, row if rows else row - 1) - 1)
        offset = row - starts[group]
        if group >= len(footer.groups) or offset + rows > footer.groups[group]:
            raise DamagedFile(f"{path}: its list of trials does not fit its rows")
        parts[small.result_key] = Part(path, small, group, offset, rows)
        row += rows
    return CompactedFile(path, footer.columns, footer.groups, parts)


def _listed(path: Path, footer: Footer) -> list[tuple[SmallFile, int]]:
    try:
        listed = json.loads(footer.metadata[_TRIALS])
        return [(SmallFile(sha256, metadata), rows) for rows, sha256, metadata in listed]
    except (KeyError, ValueError, TypeError):
        raise DamagedFile(f"{path}: no compacted file of apc-bench") from None


def write_compacted(
    folder: Path, kind: str, trials: Sequence[tuple[SmallFile, pa.Table]], schema: int
) -> CompactedFile:
    """Writes the tables of trials, all of the same columns, as one compacted file in `folder`, and
    reads it back.

    Raises StorageError, also where what is read is not what was to be written.
    """
    tables = [table for _, table in trials]
    listed = [[len(table), small.sha256, dict(small.metadata)] for small, table in trials]
    metadata = {"kind": kind, _TRIALS: json.dumps(listed, separators=(",", ":"))}
    written = folder / "written"
    groups = _groups(len(table) for table in tables)
    sha256 = write_table(written, pa.concat_tables(tables), metadata, schema, groups)
    path = written.replace(folder / _named(sha256))
    file = open_compacted(path)
    read = file.tables(list(file.parts.values()))
    if not file.is_sound() or len(read) != len(tables) or not all(map(_same, read, tables)):
        raise StorageError(f"{path}: reads otherwise than it was written; is the disk sound?")
    return file


def _groups(lengths: Iterable[int]) -> list[int]:
    """The rows of each row group, of whole trials."""
    groups: list[int] = []
    for rows in lengths:
        if groups and groups[-1] + rows <= _ROWS_A_GROUP:
            groups[-1] += rows
        else:
            groups.append(rows)
    return groups


def _same(read: pa.Table | DamagedFile, table: pa.Table) -> bool:
    """Whether what was read is the table; to polars, unlike to Arrow, NaN is NaN."""
    if isinstance(read, DamagedFile):
        return False
    return read.equals(table) or as_frame(read).equals(as_frame(table))


def _named(sha256: str) -> str:
    return f"{_PREFIX}{sha256[:_DIGITS]}.parquet"
