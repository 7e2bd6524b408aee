"""One sweep at a time in a run folder: a lock that the kernel frees with its holder, and a note
beside it that names the holder.
"""

import getpass
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from apc_bench.errors import DamagedFile, RunError, StorageError
from apc_bench.store.files import read_json, write_json

LOCK = ".lock"
HOLDER = ".holder.json"


@contextmanager
def held(folder: Path) -> Iterator[str]:
    """Holds a run folder, which is made where it is missing; yields the name of this holding, by
    which `holding` tells it from a later one.

    Raises RunError that names the holder where another process has it or where the name is a
    file's, StorageError where it cannot be written.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{folder} is in use by {_holder(folder)}; wait for it, or name another --run"
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise RunError(
            f"{folder} cannot be a run folder: a file is in the way; name another --run"
        ) from None
    except OSError as error:
        raise StorageError(
            f"cannot write the run folder {folder}: {error.strerror or error}"
        ) from None
    try:
        name, since = uuid.uuid4().hex, time.strftime("%Y-%m-%dT%H:%M:%S%z")
        note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "user": _user(),
            "since": since,
            "holding": name,
        }
        write_json(folder / HOLDER, note)
        yield name
    finally:
        lock.release()


def holding(folder: Path) -> str | None:
    """The name of the last holding of a run folder; None where its note is lost."""
    with suppress(DamagedFile, AttributeError):
        name = read_json(folder / HOLDER).get("holding")
        return name if isinstance(name, str) else None
    return None


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
