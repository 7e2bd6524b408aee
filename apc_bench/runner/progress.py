"""What a person sees while a sweep runs: a live display in a terminal, plain lines in a log. Writes
to stderr only.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.messages import Outcome
from apc_bench.wording import counted


class Display:
    """Counts steps as they end, and tells by their cost how long the rest takes. Use as a context
    manager; `say` prints a line above the display.
    """

    def __init__(self, steps: Sequence[Step], *, console: Console) -> None:
        self.console = console
        self.say = plain(console)
        self.total, self.ended, self.failed = len(steps), 0, 0
        self.macs = sum(step.macs for step in steps)
        self.macs_done = 0.0
        self.started = time.monotonic()
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("starting", total=self.total, left="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def ended_with(self, step: Step, outcome: Outcome) -> None:
        """Shows one ended step; a failure keeps its line in the terminal too."""
        self.ended += 1
        self.macs_done += step.macs
        left = self._left()
        if not outcome.ok:
            self.failed += 1
            self.say(f"FAILED {step.name}: {outcome.reason}")
        if self.console.is_terminal:
            failed = f", {self.failed} failed" if self.failed else ""
            self.bar.update(self.task, advance=1, description=escape(step.name) + failed, left=left)
        elif outcome.ok:
            line = f"[{self.ended}/{self.total}] {step.name}: {outcome.seconds:.1f} s"
            self.say(f"{line}, {left}" if left else line)

    def _left(self) -> str:
        """Time left, from the share of the planned work that is done."""
        share = self.macs_done / self.macs if self.macs else 1.0
        if self.ended == self.total or share <= 0:
            return ""
        spent = time.monotonic() - self.started
        return f"about {duration(spent * (1 - share) / share)} left"


def plain(console: Console) -> Callable[[str], None]:
    """Prints a line as it is: not wrapped, not coloured, nothing in it read as markup."""
    return partial(console.print, soft_wrap=True, highlight=False, markup=False)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted_steps(steps: Sequence[Step]) -> str:
    """`24 fine-tunings, 32 trials`."""
    tunings = sum(step.kind == EXTRACTOR for step in steps)
    return f"{counted(tunings, 'fine-tuning')}, {counted(len(steps) - tunings, 'trial')}"
