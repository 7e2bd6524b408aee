"""Folding the small files of many trials into compacted ones, and taking trials out of these again:
a category's folder of one kind at a time, each replaced in one step (store/placing.py).
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from apc_bench.files.hashing import file_sha256
from apc_bench.plan import TRIAL, Step
from apc_bench.store.compacted import KINDS, CompactedFile, SmallFile, compacted_in, write_compacted
from apc_bench.store.files import read_table, storage_error
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.placing import put_in_place
from apc_bench.store.planned import PlannedSteps, row_of
from apc_bench.store.result_files import check_owner, check_sha256
from apc_bench.store.result_tables import ResultTables, Row
from apc_bench.store.trials import HASH

STAGING = ".compacting"
MOST_TRIALS = 1_000
"""Of one compacted file: what a later compaction reads and writes again, at most."""

Item = TypeVar("Item")
Trials = Mapping[str, tuple[SmallFile, pa.Table]]
"""Result key -> its small file and its rows."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a compaction did: files and their bytes that went, and that came for them."""

    gone: int = 0
    gone_bytes: int = 0
    came: int = 0
    came_bytes: int = 0

    def line(self) -> str:
        """For people."""
        if not self.gone:
            return "nothing to compact: no finished trial has files of its own"
        return (
            f"compacted {self.gone:,} files ({self.gone_bytes / 1e6:.1f} MB) into {self.came:,}"
            f" ({self.came_bytes / 1e6:.1f} MB)"
        )

    def __add__(self, other: "Folded") -> "Folded":
        return Folded(
            self.gone + other.gone,
            self.gone_bytes + other.gone_bytes,
            self.came + other.came,
            self.came_bytes + other.came_bytes,
        )


class Compaction:
    """The compacted files of a run, for whoever holds its lock."""

    def __init__(self, folder: RunFolder, planned: PlannedSteps, tables: ResultTables) -> None:
        self._folder = folder
        self._planned = planned
        self._tables = tables

    @property
    def staging(self) -> Path:
        """Where folders are made anew; it is there after a crash only."""
        return self._folder.path / STAGING

    def small(self) -> int:
        """How many trials have metrics in a file of their own."""
        return sum(self._tables.path("metrics", row).is_file() for row in self._trials())

    def fold(self) -> Folded:
        """Folds the small files of finished trials. What is damaged stays as it is, and is
        remembered.

        Raises StorageError; then every row is still there.
        """
        categories: dict[Path, list[Row]] = defaultdict(list)
        for row in self._trials():
            categories[self._tables.category("metrics", row)].append(row)
        done = Folded()
        for rows in categories.values():
            for some in _batches(rows):
                metrics = self._metadata(some)
                for kind in KINDS:
                    done += self._fold(kind, self._tables.category(kind, rows[0]), some, metrics)
        shutil.rmtree(self.staging, ignore_errors=True)  # of a crash
        return done

    def take_out(self, steps: Iterable[Step]) -> None:
        """Takes the trials of steps that are about to be done out of compacted files, and with them
        the damaged trials of their categories: their new files will be the only ones.

        Raises StorageError.
        """
        categories: dict[Path, set[str]] = defaultdict(set)
        rows = {}
        for step in steps:
            if step.kind == TRIAL:
                row = row_of(step)
                rows[folder := self._tables.category("metrics", row)] = row
                categories[folder].add(step.result_key)
        for folder, keys in categories.items():
            for kind in KINDS:
                self._take_out(self._tables.category(kind, rows[folder]), kind, keys)

    def _trials(self) -> Iterator[Row]:
        return (row for row in self._planned.read().iter_rows(named=True) if row["kind"] == TRIAL)

    def _metadata(self, rows: Sequence[Row]) -> dict[str, Mapping[str, str]]:
        """Result key -> metadata of a trial's metrics, which name its files' hashes."""

        def read(row: Row) -> Mapping[str, str] | None:
            if self._tables.path("metrics", row).is_file():
                return read_table(self._tables.path("metrics", row))[1]
            found = self._tables.part("metrics", row)
            return found[1].small.metadata if found else None

        found = zip(rows, in_parallel(read, rows), strict=True)
        return {row["result_key"]: known for row, known in self._folder.sound(found) if known}

    def _fold(
        self, kind: str, place: Path, rows: Sequence[Row], metrics: Mapping[str, Mapping[str, str]]
    ) -> Folded:
        new = self._waiting(kind, rows, metrics)
        files = self._tables.compacted(place)
        count = Counter(key for file in files for key in file.parts)
        count.update(small.result_key for small, _ in new.values())
        twice = {key for key, times in count.items() if times > 1}  # of a crash without exchange
        if not new and not twice:
            return Folded()
        merged = [
            file
            for file in files
            if self._tables.is_sound(file)
            and (len(file.parts) < MOST_TRIALS or twice & file.parts.keys())
        ]
        trials = dict(trial for file in merged for trial in _whole(file))
        trials |= {small.result_key: (small, table) for small, table in new.values()}
        return self._replace(kind, place, trials, [*new, *(file.path for file in merged)])

    def _waiting(
        self, kind: str, rows: Sequence[Row], metrics: Mapping[str, Mapping[str, str]]
    ) -> dict[Path, tuple[SmallFile, pa.Table]]:
        """The small files of finished trials, which are those of the hashes that `metrics` name."""

        def read(row: Row) -> tuple[SmallFile, pa.Table]:
            path = self._tables.path(kind, row)
            table, metadata = read_table(path)
            check_owner(path, row["result_key"], metadata)
            sha256 = file_sha256(path)
            if kind != "metrics":
                check_sha256(path, metrics[row["result_key"]].get(f"{HASH}{kind}"))
            return SmallFile(sha256, metadata), table

        finished = [row for row in rows if row["result_key"] in metrics]
        waiting = [row for row in finished if self._tables.path(kind, row).is_file()]
        paths = [self._tables.path(kind, row) for row in waiting]
        return dict(self._folder.sound(zip(paths, in_parallel(read, waiting), strict=True)))

    def _take_out(self, place: Path, kind: str, keys: set[str]) -> None:
        files = self._tables.compacted(place)
        unreadable = set(compacted_in(place)).difference(file.path for file in files)
        touched = [
            file for file in files if keys & file.parts.keys() or not self._tables.is_sound(file)
        ]
        if unreadable or touched:
            kept = {
                key: trial for file in touched for key, trial in _whole(file) if key not in keys
            }
            self._replace(kind, place, kept, [*unreadable, *(file.path for file in touched)])

    def _replace(self, kind: str, place: Path, trials: Trials, gone: Sequence[Path]) -> Folded:
        """Puts the trials, in compacted files, in the place of the files that go."""
        staged = self.staging / place.relative_to(self._folder.path)
        try:
            shutil.rmtree(self.staging, ignore_errors=True)
            staged.mkdir(parents=True)
            by_columns: dict[pa.Schema, list[tuple[SmallFile, pa.Table]]] = defaultdict(list)
            for small, table in trials.values():
                by_columns[table.schema].append((small, table))
            for alike in by_columns.values():
                for some in _batches(alike):
                    write_compacted(staged, kind, some, self._folder.schema)
            came = compacted_in(staged)
            done = Folded(len(gone), _bytes(gone), len(came), _bytes(came))
            self._folder.check_holding()
            put_in_place(staged, place, gone)
            shutil.rmtree(self.staging)
        except OSError as error:
            raise storage_error(place, error) from None
        return done


def _whole(file: CompactedFile) -> Iterator[tuple[str, tuple[SmallFile, pa.Table]]]:
    """The trials of a compacted file that verify."""
    parts = list(file.parts.values())
    for part, table in zip(parts, file.tables(parts), strict=True):
        if isinstance(table, pa.Table):
            yield part.small.result_key, (part.small, table)


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + MOST_TRIALS] for start in range(0, len(items), MOST_TRIALS))
