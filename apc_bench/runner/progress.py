"""What a person sees while a sweep runs: a live display in a terminal, plain lines in a log. Writes
to stderr only.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.messages import Outcome
from apc_bench.runner.running import Running
from apc_bench.wording import counted, duration


class Display:
    """Counts steps as they end, tells by their cost how long the rest takes, and shows how far the
    `running` ones are, which lies in `folder` (store/stages.py). Use as a context manager; `say`
    prints a line above the display.
    """

    def __init__(self, steps: Sequence[Step], folder: Path, *, console: Console) -> None:
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
        self.running = Running(folder, None if console.is_terminal else self.say)
        self.bar = _Bar(*columns, console=console, disable=not console.is_terminal)
        self.bar.running = self.running
        self.task = self.bar.add_task("starting", total=self.total, left="")

    def __enter__(self) -> Self:
        self.running.__enter__()
        self.bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.running.__exit__(*raised)
        self.bar.stop()

    def ended_with(self, step: Step, outcome: Outcome) -> None:
        """Shows one ended step; a failure keeps its line in the terminal too."""
        self.running.ended(step)
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


class _Bar(Progress):
    """The bar, and under it a line for each running step."""

    running: Running | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """As Progress's, of which rich says that it may be overridden."""
        yield from super().get_renderables()
        for line in self.running.lines() if self.running else ():
            yield Text(line, style="dim", no_wrap=True, overflow="ellipsis")


def plain(console: Console) -> Callable[[str], None]:
    """Prints a line as it is: not wrapped, not coloured, nothing in it read as markup."""
    return partial(console.print, soft_wrap=True, highlight=False, markup=False)


def counted_steps(steps: Sequence[Step]) -> str:
    """`24 fine-tunings, 32 trials`."""
    tunings = sum(step.kind == EXTRACTOR for step in steps)
    return f"{counted(tunings, 'fine-tuning')}, {counted(len(steps) - tunings, 'trial')}"
