"""What lies in the cache folder, and how it is kept small: entries go oldest first, and none that a
running sweep uses (cache_use.py).
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from apc_bench.errors import RunError, UsageError
from apc_bench.store.cache import DONE, HASHES, unwritable
from apc_bench.store.cache_use import UPKEEP, Claim, claims
from apc_bench.wording import counted, in_bytes

LIMIT = "APC_BENCH_CACHE_LIMIT"
DEFAULT_LIMIT = 20_000_000_000
LIMITED = ("features", "decoded")
"""The kinds that grow, and that a limit holds."""

KINDS = {
    "features": "features of frozen networks",
    "decoded": "images at input size",
    "encodings": "how a category's files are read",
    "synthetic": "synthetic images; pages of runs show them",
    "hashes": "sums of the files of datasets",
}
"""What apc-bench made itself, so that it may remove it."""

DOWNLOADS = {"weights": "weights of backbones", "datasets": "datasets of `data fetch`"}

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_UNITS |= {f"{unit}i": 1024.0**power for power, unit in enumerate("kmgt", start=1)}
_KEY = r"[0-9a-f]{8,64}"


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing in the cache: its kind, where it is, its bytes, and when it was last used, in ns
    since 1970. `key`: by which it is locked, None for what is not removed.
    """

    kind: str
    path: Path
    size: int
    used: int
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, in things and bytes; how many others had to stay, and why."""

    count: int = 0
    size: int = 0
    busy: int = 0
    refused: int = 0
    holder: str = ""

    def line(self) -> str:
        """In words."""
        told = f"removed {counted(self.count, 'entry', 'entries')}, {in_bytes(self.size)}"
        if self.busy:
            told += f"; {self.busy} kept, in use{f' by {self.holder}' if self.holder else ''}"
        if self.refused:
            told += f"; {self.refused} could not be removed: no permission"
        return told


def parse_size(text: str) -> int | None:
    """Bytes of `10GB`, `500 MB` or `8GiB`; None for `none`. Raises ValueError."""
    if text.strip().lower() == "none":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?((?:[kmgt]i?)?)b?", text.strip().lower())
    if match is None:
        raise ValueError(f"'{text}' is no size: 10GB, 500MB or none")
    return int(float(match[1]) * _UNITS[match[2]])


def default_limit() -> int | None:
    """The limit in bytes that sweeps keep: $APC_BENCH_CACHE_LIMIT, or 20 GB; None: no limit. Raises
    UsageError for a value that is no size.
    """
    try:
        return parse_size(os.environ.get(LIMIT) or str(DEFAULT_LIMIT))
    except ValueError as error:
        raise UsageError(f"{LIMIT}: {error}") from None


def contents(folder: Path) -> list[Kept]:
    """All that lies in a cache folder, of each kind the longest unused first. Raises StorageError
    where it cannot be read.
    """
    try:
        found = [kept for kind in (*KINDS, *DOWNLOADS) for kept in _of_kind(folder, kind)]
    except OSError as error:
        raise unwritable(folder, error) from None
    order = [*KINDS, *DOWNLOADS]
    return sorted(found, key=lambda kept: (order.index(kept.kind), kept.used))


def _of_kind(folder: Path, kind: str) -> Iterator[Kept]:
    if kind == "hashes":
        path = folder / HASHES
        if path.is_file():
            yield Kept(kind, path, path.stat().st_size, path.stat().st_mtime_ns, path.stem)
        return
    if not (folder / kind).is_dir():
        return
    for path in sorted((folder / kind).iterdir()):
        # A folder that is named like a cache may hold what is somebody's own: only what looks like
        # an entry, or what a builder that died left of one, is ever removed.
        key = re.fullmatch(rf"({_KEY})|\.({_KEY})\.{_KEY}", path.name)
        if kind in DOWNLOADS:
            if path.suffix != ".lock":
                yield Kept(kind, path, *_extent(path))
        elif key and path.is_dir():
            yield Kept(kind, path, *_extent(path), key=key[1] or key[2])


def _extent(path: Path) -> tuple[int, int]:
    """Bytes, and the time of last use: of an entry its mark's, of others the newest file's. What
    its builder takes away or replaces meanwhile is passed over.
    """
    size, newest = 0, 0
    files = (
        [path]
        if path.is_file()
        else [Path(at, name) for at, _, names in os.walk(path) for name in names]
    )
    for file in files:
        with suppress(FileNotFoundError):
            state = file.lstat()
            size, newest = size + state.st_size, max(newest, state.st_mtime_ns)
    return size, _mark(path) or newest


def _mark(path: Path) -> int | None:
    """When an entry was last used; None of what has no mark."""
    try:
        return (path / DONE).stat().st_mtime_ns
    except OSError:
        return None


def keep_limit(folder: Path, limit: int | None) -> Removed:
    """Removes images and features, the longest unused first, until at most `limit` bytes of them
    are left, or what is in use. Raises StorageError.
    """
    if limit is None or not folder.is_dir():
        return Removed()
    with _upkeep(folder) as held:
        entries = [kept for kept in contents(folder) if kept.kind in LIMITED]
        excess, done = sum(kept.size for kept in entries) - limit, Removed()
        for kept in sorted(entries, key=lambda kept: kept.used):
            if done.size >= excess:
                break
            done = _remove(kept, held, done)
    return done


def clear(folder: Path, kinds: Sequence[str]) -> Removed:
    """Removes all of these kinds that is not in use. Raises RunError for synthetic images while a
    sweep is running, StorageError.
    """
    if not folder.is_dir():
        return Removed()
    done = Removed()
    with _upkeep(folder) as held:
        if "synthetic" in kinds and held:
            raise RunError(f"the synthetic images are in use by {held[0].holder}; wait for it")
        for kept in contents(folder):
            if kept.kind in kinds:
                done = _remove(kept, held, done)
    return done


@contextmanager
def _upkeep(folder: Path) -> Iterator[list[Claim]]:
    """While something is removed: the claims of those who use the cache."""
    try:
        with FileLock(folder / UPKEEP):
            yield claims(folder)
    except OSError as error:
        raise unwritable(folder, error) from None


def _remove(kept: Kept, held: Sequence[Claim], done: Removed) -> Removed:
    """Removes it unless it is in use: what is removed so far, with it."""
    busy = replace(done, busy=done.busy + 1, holder=held[0].holder if held else "")
    if _claimed(kept.used, held):
        return busy
    try:
        with FileLock(kept.path.with_name(f"{kept.key}.lock"), timeout=0):
            # Whoever used it since it was listed had this lock, and left a mark.
            if _claimed(_mark(kept.path) or kept.used, held):
                return busy
            if kept.path.is_dir():
                shutil.rmtree(kept.path)
            else:
                kept.path.unlink(missing_ok=True)
    except Timeout:
        return busy
    except FileNotFoundError:
        return done
    except PermissionError:
        return replace(done, refused=done.refused + 1)
    return replace(done, count=done.count + 1, size=done.size + kept.size)


def _claimed(used: int, held: Sequence[Claim]) -> bool:
    return bool(held) and used >= held[0].since
