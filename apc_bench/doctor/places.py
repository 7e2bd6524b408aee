"""Where files go, and whether they can: Ray and its temporary files, the cache, the weights in
it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from apc_bench.doctor.fact import Fact
from apc_bench.errors import ApcError
from apc_bench.networks.weights import describe, resolve
from apc_bench.runner.executors.ray_place import SHARED_MEMORY, WITHOUT, find_place
from apc_bench.settings.backbones import BACKBONES
from apc_bench.store.cache_upkeep import contents, default_limit
from apc_bench.wording import in_bytes

SCARCE = 1_000_000_000
"""Bytes below which a disk is soon full: a category's features take that."""
RAY_TRIAL = [sys.executable, "-P", "-m", "apc_bench.runner.executors.ray_trial"]
PATIENCE = 180.0
"""Seconds for Ray's start, which takes ten on a machine at rest."""


def temporary_files() -> Fact:
    """The folder for temporary files, and where Ray's would go."""
    said: list[str] = []
    folder = Path(tempfile.gettempdir())
    ray = find_place(None, said.append).folder
    value = {"folder": str(folder), "free": _free(folder), "ray": str(ray)}
    shared = in_bytes(_free(SHARED_MEMORY)) if SHARED_MEMORY.is_dir() else "none"
    text = f"{folder} ({in_bytes(_free(folder))} free); Ray's: {ray}; shared memory: {shared}"
    faults = [f"{folder} cannot be written; set TMPDIR"] if not os.access(folder, os.W_OK) else []
    return Fact("temporary", "; ".join([text, *said]), value, tuple(faults))


def ray_starts() -> Fact:
    """Whether Ray starts here and does a task, tried in a process of its own, so that one that
    hangs is told and not waited for.
    """
    try:
        done = subprocess.run(
            RAY_TRIAL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        fault = f"Ray did not start within {PATIENCE:.0f} s; {WITHOUT}"
        return Fact("Ray", "does not start", {"starts": False}, (fault,))
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not last.startswith("{"):
        ended = (done.stderr.strip().splitlines() or ["without a word"])[-1][:200]
        fault = f"Ray's start ended with code {done.returncode} ({ended}); {WITHOUT}"
        return Fact("Ray", "does not start", {"starts": False}, (fault,))
    told = json.loads(last)
    if told["fault"]:
        return Fact("Ray", "does not start", {"starts": False}, (told["fault"],))
    value = {"starts": True, "steps_at_a_time": told["cores"]}
    return Fact("Ray", f"starts here, for {told['cores']:g} steps of a core at a time", value)


def cache(folder: Path) -> Fact:
    """Where the cache is, what it takes, and whether it can grow."""
    sizes: dict[str, int] = {}
    for kept in contents(folder):
        sizes[kept.kind] = sizes.get(kept.kind, 0) + kept.size
    there = next(place for place in (folder, *folder.parents) if place.exists())
    limit, free = default_limit(), _free(there)
    kinds = ", ".join(f"{kind} {in_bytes(size)}" for kind, size in sizes.items()) or "empty"
    kept_to = f"limit {in_bytes(limit)}" if limit is not None else "no limit"
    value = {"folder": str(folder), "sizes": sizes, "limit": limit, "free": free}
    faults = []
    if fault := _unwritable(folder, there):
        faults.append(f"{fault}; name another with --cache DIR or APC_BENCH_CACHE")
    elif free < SCARCE:
        faults.append(
            f"only {in_bytes(free)} are free at the cache {folder}: make room"
            " (`apc-bench cache --clear`), or name another with --cache DIR or APC_BENCH_CACHE"
        )
    text = f"{folder}: {kinds}; {kept_to}, {in_bytes(free)} free"
    return Fact("cache", text, value, tuple(faults))


def _unwritable(folder: Path, there: Path) -> str | None:
    """Why nothing can be written or locked in the folder; None where it can. `there`: the folder
    itself, or the nearest one above it that exists: nothing is made.
    """
    if not there.is_dir():
        return f"the cache {folder} cannot be: {there} is a file"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"the cache {folder} cannot be written"
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".doctor-") as name:
            lock = FileLock(Path(name) / "lock")
            lock.acquire(timeout=10)
            lock.release()
    except (OSError, NotImplementedError) as error:
        return f"the cache {folder} cannot hold locked files ({error})"
    return None


def weights(folder: Path) -> Fact:
    """Which backbones' weights are on this machine; faulty where a file is damaged."""
    here, missing, faults = [], [], []
    for backbone in BACKBONES:
        try:
            if describe(backbone, file=None, cache=folder) is None:
                resolve(backbone, file=None, cache=folder, fetch=False)
                here.append(backbone)
            else:
                missing.append(backbone)
        except ApcError as error:
            faults.append(str(error))
    hub = sorted(path.name for path in (folder / "weights" / "hub").glob("models--*"))
    named = [*here, *(name.removeprefix("models--").replace("--", "/") for name in hub)]
    text = f"{', '.join(named) or 'none'} here"
    if missing:
        text += f"; downloaded when needed: {', '.join(missing)}"
    return Fact("weights", text, {"here": named, "missing": missing}, tuple(faults))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
