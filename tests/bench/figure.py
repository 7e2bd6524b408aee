"""One measured figure, the tables they are printed and stored in, and how time and memory are
taken.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value with its unit, and the bound that it is meant to keep, if there is one.

    what: what was measured, input size included. how: the absolute numbers behind a ratio, and what
    else a reader must know.
    """

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    how: str = ""

    @property
    def bound(self) -> str:
        """`≥ 60`, `≤ 1.15`, or nothing."""
        return (
            f"≥ {self.at_least:g}"
            if self.at_least is not None
            else f"≤ {self.at_most:g}"
            if self.at_most is not None
            else ""
        )

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


def markdown(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| Measured | Value | Goal | Kept | How |", "|:--|--:|--:|:--|:--|"]
    kept = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {one.what} | {one.value:.3g} {one.unit} | {one.bound} | {kept[one.kept]} | {one.how} |"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


def fastest(work: Callable[[], Result], repeats: int = 3) -> tuple[float, Result]:
    """The least wall time of some calls in seconds (other load only ever adds), and the last call's
    result.
    """
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - started)
    return best, result


def peak_memory_gib() -> float:
    """The largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log(seconds) over log(size): cost grows as size to this power."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
