"""How long a computation takes on this machine, when nothing else runs on it."""

import time
from collections.abc import Callable, Iterable
from typing import SupportsFloat, TypeVar

import torch

from apc_bench.settings.sweep import Sweep

T = TypeVar("T")

QUICK, TIMES = 1.0, 5
"""What takes less than so many seconds is done again until they are spent, so many times at most:
the first time sets libraries up, and other work on the machine disturbs any.
"""


class Stopwatch:
    """Seconds of calls: of one thread on a CPU the processor's time, which other work on the
    machine does not lengthen; else the time that passes.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._on_gpu = sweep.device == "cuda"
        alone = not self._on_gpu and sweep.threads == 1
        self._clock = time.process_time if alone else time.perf_counter
        self._apart = 0.0

    def seconds(self, call: Callable[[], T]) -> tuple[float, T]:
        """Of a call, and what it returns."""
        started = self.now()
        result = call()
        return self.now() - started, result

    def now(self) -> float:
        """Seconds on its clock, without what was measured apart."""
        return self._now() - self._apart

    def steady(self, call: Callable[[], T]) -> tuple[float, T]:
        """As `seconds`, of the fastest of several calls where they are quick."""
        best, result = self.seconds(call)
        spent, times = best, 1
        while spent < QUICK and times < TIMES:
            seconds, result = self.seconds(call)
            best, spent, times = min(best, seconds), spent + seconds, times + 1
        return best, result

    def apart(self, call: Callable[[], T]) -> tuple[float, T]:
        """As `steady`, of a call within another, whose time does not contain it."""
        before = self._now()
        measured = self.steady(call)
        self._apart += self._now() - before
        return measured

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return self._clock()


class Ticks:
    """Takes the time whenever a training says how far it is in one of `stages`: a
    networks.progress.Progress.
    """

    def __init__(self, watch: Stopwatch, stages: Iterable[str]) -> None:
        self._watch = watch
        self.seconds: dict[str, list[float]] = {stage: [] for stage in stages}
        self._last = watch.now()

    def __call__(
        self, stage: str, done: int, total: int, loss: SupportsFloat | None = None, /
    ) -> None:
        """The time since the last word, or the start, is this stage's."""
        if stage in self.seconds:
            now = self._watch.now()
            self.seconds[stage].append(now - self._last)
            self._last = now
