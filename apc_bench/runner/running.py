"""The steps that run now, each with its last word on how far it is: lines under a terminal's
progress bar, or now and then one in a log.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from apc_bench.plan import Step
from apc_bench.runner.rates import STEPS_OF
from apc_bench.runner.remaining import Ongoing
from apc_bench.store.stages import read_stage, remove_stage
from apc_bench.wording import duration

LOOK_EVERY = 2.0
"""Seconds between two looks at what the steps say (reporting.EVERY)."""

LOGGED_EVERY = 30.0
"""Seconds that a step runs between two lines of its own in a log."""


@dataclass(slots=True)
class _Begun:
    """A step since `since` (monotonic seconds), with how many lines it has had in the log, and the
    share of its training that is done, where it says so.
    """

    step: Step
    since: float
    logged: int = 0
    line: str = ""
    share: float | None = None


class Running:
    """Follows steps from `began` to `ended`, in a thread while it is entered.

    `folder`: where their words lie (store/stages.py); `say` prints a line in the log, None in a
    terminal, where `lines` are shown; `left` says at a line's end how long all takes still.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None] | None,
        left: Callable[[], str],
    ) -> None:
        self._folder, self._say, self._left = folder, say, left
        self._steps: dict[str, _Begun] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def began(self, step: Step) -> None:
        """A step was handed to a worker, perhaps once more."""
        self._steps[step.result_key] = _Begun(step, time.monotonic(), line=step.name)

    def ended(self, step: Step) -> None:
        """It ended, or will not begin."""
        self._steps.pop(step.result_key, None)

    def lines(self) -> Iterator[str]:
        """One for each step that runs, as of the last look."""
        return (begun.line for begun in self._steps.copy().values())

    def ongoing(self) -> list[Ongoing]:
        """The steps that run, as of the last look."""
        now = time.monotonic()
        return [
            Ongoing(begun.step, now - begun.since, begun.share)
            for begun in self._steps.copy().values()
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()
        for key in self._steps:  # of an interrupted sweep: their workers are gone, or soon will be
            with suppress(OSError):
                remove_stage(self._folder, key)
        self._steps.clear()

    def _follow(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            for key, begun in self._steps.copy().items():
                seconds = time.monotonic() - begun.since
                begun.line = self._line(begun, seconds)
                if self._say is not None and seconds >= LOGGED_EVERY * (begun.logged + 1):
                    begun.logged = int(seconds / LOGGED_EVERY)
                    if key in self._steps:  # still: reading may take a while
                        left = self._left()
                        self._say(f"running {begun.line}{f'; {left} in all' if left else ''}")

    def _line(self, begun: _Begun, seconds: float) -> str:
        step, stage = begun.step, read_stage(self._folder, begun.step.result_key)
        if stage is not None and stage.name in STEPS_OF and stage.total:
            begun.share = stage.done / stage.total
        return f"{step.name}: {f'{stage}, ' if stage else ''}{duration(seconds)}"
