"""Scores, curves and metrics of trials, wherever they lie: in a file of the trial's own, which
counts where there is one, or in a compacted file of its category.

Compacting puts the compacted file in its place before, or in the same moment as, the small ones go
(store/compaction.py). So whoever looks for the small file first, and looks again where what it
found has gone meanwhile, never misses a trial.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa

from apc_bench.errors import DamagedFile
from apc_bench.store.compacted import (
    CompactedFile,
    Part,
    SmallFile,
    compacted_in,
    open_compacted,
)
from apc_bench.store.files import NO_PLACE
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.places import folders_of
from apc_bench.store.result_files import as_frame, read_result
from apc_bench.store.schemas import CURVES, METRICS_TABLE, PLACE, SCORES

Value = TypeVar("Value")

Row = Mapping[str, Any]
"""A row of the plan (schemas.PLAN)."""

_OWN = {"scores": (SCORES, PLACE), "curves": (CURVES, PLACE), "metrics": (METRICS_TABLE, NO_PLACE)}
_LOOKS = 5
"""At a trial whose file goes as it is opened: once for each time that it is compacted meanwhile."""


class ResultTables:
    """The tables of a run's trials by kind (compacted.KINDS) and row of the plan."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._opened: dict[Path, CompactedFile | DamagedFile] = {}
        self._known: dict[Path, list[CompactedFile]] = {}  # by folder: listed once, unless in vain
        self._sound: dict[Path, bool] = {}

    def path(self, kind: str, row: Row) -> Path:
        """Of a trial's own file."""
        folders = folders_of(self._folder.schema, PLACE, row)
        return Path(f"{self._folder.path}/{kind}/{folders}/{row['result_key']}.parquet")

    def category(self, kind: str, row: Row) -> Path:
        """The folder of a trial's category, where its compacted files lie."""
        dataset, category, *_ = folders_of(self._folder.schema, PLACE, row).split("/")
        return Path(f"{self._folder.path}/{kind}/{dataset}/{category}")

    def compacted(self, folder: Path) -> list[CompactedFile]:
        """The compacted files of a category's folder; damaged ones are remembered."""
        found = []
        for path in compacted_in(folder):
            if path not in self._opened:
                self._opened[path] = in_parallel(open_compacted, [path])[0]
            file = self._opened[path]
            if isinstance(file, CompactedFile):
                found.append(file)
            elif path.exists():
                self._folder.remember(file)
        self._known[folder] = found
        return found

    def part(self, kind: str, row: Row) -> tuple[CompactedFile, Part] | None:
        """Where the trial's rows lie in a compacted file; None where they do not."""
        folder, key = self.category(kind, row), row["result_key"]
        for file in self._known.get(folder, ()):
            if key in file.parts and file.path.exists():
                return file, file.parts[key]
        for file in self.compacted(folder):
            if key in file.parts:
                return file, file.parts[key]
        return None

    def metadata(
        self, kind: str, rows: Sequence[Row]
    ) -> list[Mapping[str, str] | DamagedFile | None]:
        """What each trial's table says of itself where it is there and verifies, None where it is
        not there; in the place of a damaged one its DamagedFile.
        """
        found = {index: one.metadata for index, one in self.folded(kind, rows).items()}
        left = [index for index in range(len(rows)) if index not in found]
        looked = in_parallel(lambda index: self._metadata(kind, rows[index]), left)
        rest = dict(zip(left, looked, strict=True))
        return [found[index] if index in found else rest[index] for index in range(len(rows))]

    def folded(self, kind: str, rows: Sequence[Row]) -> dict[int, SmallFile]:
        """By position, what was known of the file of each trial that has none of its own any more,
        but a part of a compacted file that verifies.
        """
        wanted = [index for index, row in enumerate(rows) if not self.path(kind, row).is_file()]
        found: dict[int, SmallFile] = {}
        for file, parts in self._parts(kind, rows, wanted).items():
            if self.is_sound(file):
                found |= {index: part.small for index, part in parts}
        return found

    def _metadata(self, kind: str, row: Row) -> Mapping[str, str] | None:
        own, place = _OWN[kind]
        return self._found(
            kind,
            row,
            lambda path: read_result(path, row["result_key"], own, place)[1],
            lambda file, part: self._verified(file, part).small.metadata,
        )

    def verified_part(self, kind: str, row: Row) -> Part | None:
        """A trial's part of a compacted file; None where there is none. Raises DamagedFile where
        it does not verify.
        """
        found = self.part(kind, row)
        return self._verified(*found) if found else None

    def _verified(self, file: CompactedFile, part: Part) -> Part:
        if not self.is_sound(file):
            (read,) = file.tables([part])
            if isinstance(read, DamagedFile):
                raise read
        return part

    def is_sound(self, file: CompactedFile) -> bool:
        """Whether every byte of the file is as it was written; each file is looked at once."""
        if file.path not in self._sound:
            try:
                self._sound[file.path] = file.is_sound()
            except OSError:
                return False
        return self._sound[file.path]

    def one(self, kind: str, row: Row, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
        """A trial's table, of some columns where they are named; None where it is not there. Raises
        DamagedFile.
        """
        return self._found(
            kind,
            row,
            lambda _: as_frame(self._small(kind, row, columns)),
            lambda file, part: _frames(kind, file, [part], columns)[0],
        )

    def _found(
        self,
        kind: str,
        row: Row,
        small: Callable[[Path], Value],
        compacted: Callable[[CompactedFile, Part], Value],
    ) -> Value | None:
        """What is read of a trial's own file, else of its part of a compacted one; looked for again
        where the file goes as it is opened.
        """
        for _ in range(_LOOKS):
            path = self.path(kind, row)
            try:
                if path.is_file():
                    return small(path)
                found = self.part(kind, row)
                if found is not None:
                    path = found[0].path
                    return compacted(*found)
            except DamagedFile:
                if path.is_file():
                    raise
            else:
                if not path.is_file():
                    return None
        raise DamagedFile(f"{path}: comes and goes; is a sweep at work here?")

    def many(
        self, kind: str, rows: Sequence[Row], columns: Sequence[str] | None = None
    ) -> list[pl.DataFrame | DamagedFile | None]:
        """The table of each trial, as `one`; in the place of a damaged one its DamagedFile."""
        small = [index for index, row in enumerate(rows) if self.path(kind, row).is_file()]
        tables = in_parallel(lambda index: self._small(kind, rows[index], columns), small)
        found = dict(_as_frames(zip(small, tables, strict=True)))
        parts = self._parts(kind, rows, set(range(len(rows))).difference(small))

        def read(file: CompactedFile) -> list[tuple[int, pl.DataFrame]]:
            indices = [index for index, _ in parts[file]]
            frames = _frames(kind, file, [part for _, part in parts[file]], columns)
            return list(zip(indices, frames, strict=True))

        for frames in in_parallel(read, parts):
            found.update(() if isinstance(frames, DamagedFile) else frames)
        # What is left is damaged, or not there, or was compacted after it had been looked for.
        left = [index for index in range(len(rows)) if index not in found]
        looked = in_parallel(lambda index: self.one(kind, rows[index], columns), left)
        rest = dict(zip(left, looked, strict=True))
        return [found[index] if index in found else rest[index] for index in range(len(rows))]

    def _small(self, kind: str, row: Row, columns: Sequence[str] | None) -> pa.Table:
        own, place = _OWN[kind]
        return read_result(self.path(kind, row), row["result_key"], own, place, columns)[0]

    def _parts(
        self, kind: str, rows: Sequence[Row], wanted: Iterable[int]
    ) -> dict[CompactedFile, list[tuple[int, Part]]]:
        """Those of the wanted rows that lie in compacted files, by file."""
        by_category: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for index in wanted:
            row = rows[index]
            by_category[row["dataset"], row["category"]][row["result_key"]] = index
        found: dict[CompactedFile, list[tuple[int, Part]]] = defaultdict(list)
        for by_key in by_category.values():
            row = rows[next(iter(by_key.values()))]
            for file in self.compacted(self.category(kind, row)):
                for key in by_key.keys() & file.parts.keys():
                    found[file].append((by_key[key], file.parts[key]))
        return found


def _frames(
    kind: str, file: CompactedFile, parts: Sequence[Part], columns: Sequence[str] | None
) -> list[pl.DataFrame]:
    """The trials' own columns in a compacted file. Raises DamagedFile where one is damaged."""
    own, place = _OWN[kind]
    if not file.columns.equals(pa.schema([*place, *own])):
        raise DamagedFile(f"{file.path}: other columns than expected")
    frames = file.frames(parts, columns or own.names)
    for frame in frames:
        if isinstance(frame, DamagedFile):
            raise frame
    return [frame for frame in frames if isinstance(frame, pl.DataFrame)]


def _as_frames(
    tables: Iterable[tuple[int, pa.Table | DamagedFile]],
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Tables of the same columns as frames, which are made in one go; without the damaged ones."""
    whole = [(index, table) for index, table in tables if isinstance(table, pa.Table)]
    if whole:
        frame = as_frame(pa.concat_tables([table for _, table in whole]).combine_chunks())
        start = 0
        for index, table in whole:
            yield index, frame.slice(start, len(table))
            start += len(table)
