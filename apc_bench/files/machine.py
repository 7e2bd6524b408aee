"""What this process may use of the machine, which can be far less than the machine has: a batch
system, a container or `taskset` sets the limits.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
GIB = 1 << 30
SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""What SLURM says that a task was given; the first one that is set counts, where SLURM itself binds
nobody.
"""


@dataclass(frozen=True, slots=True)
class Usable:
    """`amount` of the `whole` that the machine has, in cores or bytes, and the limit that holds;
    empty where none does.
    """

    amount: int
    whole: int
    limit: str = ""

    def within(self, amount: float, limit: str) -> "Usable":
        """The smaller of the two, at least 1."""
        return Usable(max(1, int(amount)), self.whole, limit) if amount < self.amount else self


def usable_cores(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Usable:
    """The cores that this process may use: of the machine's, those that it is bound to, its
    cgroups' quota (version 1 and 2) and SLURM's allocation, whichever is least. `root`: of the file
    system.
    """
    whole = os.cpu_count() or 1
    cores = Usable(whole, whole)
    if hasattr(os, "sched_getaffinity"):
        cores = cores.within(len(os.sched_getaffinity(0)), "CPU affinity")
    for quota in _limits(root, "cpu", _quota):
        cores = cores.within(quota, "cgroup quota")
    allotted = next((environ[name] for name in SLURM if environ.get(name, "").isdecimal()), None)
    return cores.within(int(allotted), "SLURM's allocation") if allotted else cores


def usable_memory(root: Path = ROOT) -> Usable:
    """The bytes of memory that this process may use: the machine's, or its cgroups' limit."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    memory = Usable(whole, whole)
    for limit in _limits(root, "memory", _memory_limit):
        memory = memory.within(limit, "cgroup limit")
    return memory


def usable_machine() -> dict[str, str]:
    """`2 of 64 cores: cgroup quota` and `4 of 251.5 GiB: cgroup limit`, under `cores` and `memory`;
    the whole alone where nothing limits it.
    """
    cores, memory = usable_cores(), usable_memory()
    return {"cores": _in_words(cores, 1, "core"), "memory": _in_words(memory, GIB, "GiB")}


def _in_words(usable: Usable, size: int, unit: str) -> str:
    whole = f"{usable.whole / size:.4g} {unit}"
    if unit == "core" and usable.whole > 1:
        whole += "s"
    if not usable.limit:
        return whole
    return f"{usable.amount / size:.4g} of {whole}: {usable.limit}"


def _limits(root: Path, controller: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    """What every cgroup from this process's own up to the root of the hierarchy allows.

    In a container the path that /proc tells may be the host's, of which the container sees the last
    part alone, as the root: so folders that are not there are passed over.
    """
    mounts = root / "sys" / "fs" / "cgroup"
    told = _text(root / "proc" / "self" / "cgroup") or f"1:{controller}:/\n0::/"
    for line in told.splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        hierarchies = (names, controller) if names else (".", "unified")
        for mount in {mounts / name for name in hierarchies}:
            own = mount / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(mount) and (limit := read(folder)) is not None:
                    yield limit


def _quota(folder: Path) -> float | None:
    """Cores; None: no limit here."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _memory_limit(folder: Path) -> float | None:
    """Bytes; None: no limit here."""
    texts = (_text(folder / f"memory.{name}") for name in ("max", "high", "limit_in_bytes"))
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
