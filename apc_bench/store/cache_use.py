"""Who uses the cache now: a claim for each process that does, with a lock that the kernel frees
with its holder. What was used since the oldest claim began is not removed (cache_upkeep.py).
"""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

CLAIMS = "in-use"
UPKEEP = "upkeep.lock"
"""Held while something is removed, and while a claim is made: so a claim is seen, or waits."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`since`: when it began, in ns of the file system's clock; `holder`: `process 12 on host`."""

    since: int
    holder: str


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keeps what is used of a cache folder from here on until the end of the block.

    Where the folder cannot be written there is no claim: it is read as it is, or the first entry to
    be built says what is wrong.
    """
    claim = folder / CLAIMS / uuid.uuid4().hex
    lock = FileLock(_lock_of(claim))
    with suppress(OSError):
        claim.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / UPKEEP):
            claim.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):
            claim.unlink(missing_ok=True)
            _lock_of(claim).unlink(missing_ok=True)
        lock.release()


def claims(folder: Path) -> list[Claim]:
    """The claims of processes that are alive, the oldest first; those of dead ones are removed.
    Only for who holds `UPKEEP`. Raises OSError.
    """
    found = []
    for claim in (folder / CLAIMS).glob("*"):
        if claim.suffix == ".lock":
            continue
        try:
            state, holder = claim.stat(), claim.read_text()
            with FileLock(_lock_of(claim), timeout=0):
                claim.unlink(missing_ok=True)
                _lock_of(claim).unlink(missing_ok=True)
        except FileNotFoundError:  # it ended just now
            continue
        except Timeout:
            found.append(Claim(state.st_mtime_ns, holder))
    return sorted(found, key=lambda claim: claim.since)


def _lock_of(claim: Path) -> Path:
    return claim.with_suffix(".lock")
