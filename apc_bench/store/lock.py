"""One sweep at a time in a run folder: a lock that the kernel frees with its holder, and a note beside it that names the holder."""

import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from apc_bench.errors import DamagedFile, RunError, StorageError
from apc_bench.store.files import read_json, write_json

LOCK = ".lock"
HOLDER = ".holder.json"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run folder, which is made where it is missing.

    Raises RunError that names the holder where another process has it or where the name is a file's, StorageError where it cannot be written.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{folder} is in use by {_holder(folder)}; wait for it, or name another --run") from None
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{folder} cannot be a run folder: a file is in the way; name another --run") from None
    except OSError as error:
        raise StorageError(f"cannot write the run folder {folder}: {error.strerror or error}") from None
    try:
        since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        write_json(folder / HOLDER, {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": since})
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    with suppress(DamagedFile, AttributeError):
        note = read_json(folder / HOLDER)
        return f"process {note.get('pid')} on {note.get('host')} since {note.get('since')}"
    return "another sweep"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for the user id
        return str(os.getuid())
