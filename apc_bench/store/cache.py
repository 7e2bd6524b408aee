"""The cache folder: content-addressed, one builder at a time. Deleting it changes nothing but the
time the next sweep takes.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from apc_bench.errors import StorageError, UsageError
from apc_bench.files.disk import sync
from apc_bench.files.hashing import file_sha256
from apc_bench.store.files import write_atomically

DONE = "done.json"
"""Of an entry: its files' sizes; its time of change says when the entry was last used."""
HASHES = "hashes.json"


def default_folder() -> Path:
    """$APC_BENCH_CACHE, or `apc-bench` in the user's cache folder. Raises UsageError where the user
    has no home.
    """
    if named := os.environ.get("APC_BENCH_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apc-bench"
    except RuntimeError:
        raise UsageError(
            "no cache folder: this user has no home; say where with --cache DIR or APC_BENCH_CACHE"
        ) from None


class Cache:
    """Folders of arrays by key, and the hashes of files by path, size and time of change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """The folder `kind/key`, made by `build(temporary folder)` unless it is there; marked as
        used now; other processes wait for its one builder.

        Raises StorageError when the cache cannot be written, by `build` too; what else `build`
        raises passes through. Either leaves nothing.
        """
        final = self.folder / kind / key
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            # Of an entry that is there too: who makes room holds this lock while it removes one.
            with FileLock(final.with_suffix(".lock"), poll_interval=0.005):
                if self._complete(final):
                    os.utime(final / DONE)
                else:
                    self._build(final, build)
        except OSError as error:
            # A cache that may only be read serves what it has.
            if not self._complete(final):
                raise unwritable(final, error) from None
        return final

    def _complete(self, folder: Path) -> bool:
        """Whether the entry is there with every file at its recorded size."""
        try:
            sizes = json.loads((folder / DONE).read_text())
            return all((folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, AttributeError):
            return False

    def _build(self, final: Path, build: Callable[[Path], None]) -> None:
        # Of a builder that died: the lock says that none is alive.
        for stale in final.parent.glob(f".{final.name}.*"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
        temporary.mkdir()
        try:
            build(temporary)
            sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
            (temporary / DONE).write_text(json.dumps(sizes))
            # Sizes are right before the bytes are: a loss of power must not show.
            for path in (*temporary.iterdir(), temporary):
                sync(path)
            shutil.rmtree(final, ignore_errors=True)
            temporary.replace(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def hashes(self, paths: Iterable[Path], *, threads: int) -> dict[Path, str]:
        """The sha256 of each file; remembered by path, size and time of change, so that an
        unchanged dataset is read once.
        """
        paths = list(paths)
        memo_path = self.folder / HASHES
        memo = _read_memo(memo_path)
        resolved = {folder: folder.resolve() for folder in {path.parent for path in paths}}
        states = {path: _state(path, resolved[path.parent]) for path in paths}
        missing = [path for path in paths if states[path] not in memo]
        with ThreadPoolExecutor(threads) as pool:
            sums = pool.map(file_sha256, missing)
            fresh = {states[path]: sha256 for path, sha256 in zip(missing, sums, strict=True)}
        if fresh:
            self._remember(memo_path, fresh)
        return {path: fresh.get(states[path]) or memo[states[path]] for path in paths}

    def _remember(self, path: Path, fresh: dict[str, str]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                text = json.dumps({**_read_memo(path), **fresh})
                write_atomically(path, lambda temporary: temporary.write_text(text))
        except OSError as error:
            raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> StorageError:
    """What is to be raised where the cache cannot be written at `path`."""
    return StorageError(
        f"cannot write the cache {path}: {error.strerror or error}; --cache DIR names another place"
    )


def _state(path: Path, folder: Path) -> str:
    stat = path.stat()
    # The change time too: copying tools set the time of modification at will.
    return f"{folder}/{path.name}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}"


def _read_memo(path: Path) -> dict[str, str]:
    try:
        memo = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}
