"""What a Ray of our own gets of this machine, and where it can live, found out before it starts: it
would end in a traceback, or wait for minutes.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from apc_bench.errors import ResourceError
from apc_bench.files.machine import usable_cores, usable_memory
from apc_bench.runner.executors.protocol import Resources

OBJECT_STORE = 100_000_000
"""Bytes; only steps and outcomes travel."""
LOGS = 20_000_000
"""Bytes that Ray's logs and sockets may take."""
SESSION = "session_2026-11-29_01-00-24_608089_" + "1" * 7
"""What Ray calls the folder of a session: its start, and its process."""
SOCKET = "sockets/plasma_store"
SHARED_MEMORY = Path("/dev/shm")
WITHOUT = "pass --executor serial, which does without Ray"


STEP_MEMORY = 1 << 30
"""Bytes that a worker takes for the smallest step [measured]; with a ResNet at 224 pixels it takes
up to four times as much.
"""


def slots(resources: Resources) -> int:
    """As many steps as asked for, else as the cores and the memory allow that may be used here."""
    if resources.workers:
        return resources.workers
    fitting = min(usable_cores().amount // resources.cpus, usable_memory().amount // STEP_MEMORY)
    return max(1, fitting)


@dataclass(frozen=True, slots=True)
class Place:
    """`folder`: for logs and sockets; `objects`: for the object store, None for Ray's own choice,
    shared memory.
    """

    folder: Path
    objects: Path | None


def find_place(asked: Path | None, say: Callable[[str], None]) -> Place:
    """The folder that was asked for, else the first that will do of Ray's usual one and others,
    which is said. Raises ResourceError where there is none.
    """
    space = LOGS if _free(SHARED_MEMORY) >= OBJECT_STORE else LOGS + OBJECT_STORE
    if asked is not None:
        fault = _fault(asked.absolute(), space)
        if fault:
            raise ResourceError(f"--ray-temp {asked}: {fault}; name another, or {WITHOUT}")
        chosen = asked.absolute()
    else:
        chosen = _usual(space, say)
    return Place(chosen, None if space == LOGS else chosen)


def _usual(space: int, say: Callable[[str], None]) -> Path:
    named = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    own = f"ray-{os.getuid()}"
    others = ("/tmp/ray", f"/tmp/{own}", f"/var/tmp/{own}", f"{SHARED_MEMORY}/{own}")
    usual, *rest = dict.fromkeys([Path(named).absolute() / "ray", *map(Path, others)])
    fault = _fault(usual, space)
    if fault is None:
        return usual
    for folder in rest:
        if _fault(folder, space) is None:
            say(f"Ray's temporary files go to {folder}: {usual} {fault}")
            return folder
    raise ResourceError(
        f"Ray has no place for its temporary files: {usual} {fault}; name a folder with --ray-temp"
        f" DIR, or {WITHOUT}"
    )


def _fault(folder: Path, space: int) -> str | None:
    """Why Ray could not work in the folder, tried out with a socket as deep in it as Ray's own;
    None where it could.
    """
    spare = 107 - len(os.fsencode(f"/{SESSION}/{SOCKET}"))
    length = len(os.fsencode(folder))
    if length > spare:
        return f"is {length} bytes long, and {spare} are the most for the paths of Ray's sockets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".try-") as name:
            place = Path(name) / SOCKET
            place.parent.mkdir()
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(place))
    except OSError as error:
        return f"cannot hold Ray's sockets ({error.strerror or error})"
    free = _free(folder)
    if free < space:
        needed = "logs" if space == LOGS else f"logs and objects, since {SHARED_MEMORY} is small"
        return f"has {free / 1e6:.0f} MB left of the {space / 1e6:.0f} MB for Ray's {needed}"
    return None


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def reachable(hosts: Sequence[str]) -> str:
    """The first of this machine's own addresses at which one process can reach another. Raises
    ResourceError where there is none.
    """
    faults = []
    for host in dict.fromkeys(hosts):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.create_server((host, 0), family=family) as server:
                socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
        except OSError as error:
            faults.append(f"{host} ({error.strerror or error})")
        else:
            return host
    raise ResourceError(
        "Ray cannot start: processes of this machine cannot reach each other at"
        f" {' or '.join(faults)}; see to its firewall or network, or {WITHOUT}"
    )
