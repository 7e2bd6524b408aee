"""How much other work the machine did while something was measured."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUIET = 0.1
"""Cores of other work, for each core of the machine, up to which a figure may be quoted."""

_STAT = Path("/proc/stat")


class OtherWork:
    """`cores`: how many cores other processes kept busy; None where that is not known."""

    cores: float | None = None

    @property
    def quotable(self) -> bool:
        """Whether the machine was quiet enough for a figure that others will read."""
        return self.cores is not None and self.cores <= QUIET * (os.cpu_count() or 1)

    def __str__(self) -> str:
        if self.cores is None:
            return "other work unknown: not to be quoted"
        told = f"beside other work of {self.cores:.2f} cores"
        return told if self.quotable else f"{told}: **not to be quoted**"


@contextmanager
def other_work() -> Iterator[OtherWork]:
    """What is known at the end of the block: all processors' time less that of this process and its
    children that have ended.
    """
    found = OtherWork()
    busy, own, started = _busy(), _own(), time.perf_counter()
    try:
        yield found
    finally:
        now = _busy()
        if busy is not None and now is not None:
            others = now - busy - (_own() - own)
            found.cores = max(0.0, others / (time.perf_counter() - started))


def _busy() -> float | None:
    """Seconds that the processors have worked: user, nice, system, irq, softirq and stolen time."""
    if not _STAT.is_file():
        return None
    user, nice, system, _, _, irq, softirq, stolen = map(int, _STAT.read_text().split()[1:9])
    ticks = user + nice + system + irq + softirq + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
