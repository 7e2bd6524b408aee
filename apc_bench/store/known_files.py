"""What was read of a run's files, remembered while they do not change: whether ten thousand trials
are done would else take a look at every byte of their maps and weights, hundreds of gigabytes.
"""

import json
from collections.abc import Callable
from pathlib import Path

from apc_bench.files.hashing import file_sha256
from apc_bench.store.files import write_atomically

KNOWN = ".known.json"


class KnownFiles:
    """Of files by path, size and times of change; `save` keeps it in the run folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = _read(folder / KNOWN)
        self._fresh = False

    def read(self, path: Path, read: Callable[[Path], str]) -> str:
        """What `read` gives of a file, or gave of it when it was the same. Raises what `read`
        raises, OSError where there is no such file.
        """
        name = str(path).removeprefix(f"{self._folder}/")
        stat = path.stat()
        # The change time too: copying tools set the time of modification at will.
        state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        before, text = self._known.get(name, ("", ""))
        if before != state:
            text = read(path)
            self._known[name] = (state, text)
            self._fresh = True
        return text

    def sha256(self, path: Path) -> str:
        """The sha256 of a file. Raises OSError."""
        return self.read(path, file_sha256)

    def save(self) -> None:
        """Keeps what is new; only the holder of the run's lock may. Raises StorageError."""
        if self._fresh:
            text = json.dumps(self._known)
            write_atomically(self._folder / KNOWN, lambda path: path.write_text(text))
            self._fresh = False


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """What was kept; nothing where it cannot be read."""
    try:
        return {name: (state, text) for name, (state, text) in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
