"""What a person sees while a sweep runs: a live display in a terminal, plain lines in a log. Writes
to stderr only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.messages import Outcome
from apc_bench.runner.remaining import Remaining
from apc_bench.runner.running import Running
from apc_bench.wording import counted, duration


class Display:
    """Counts steps as they end, tells how long the rest takes (`expected`: as Remaining's), and
    shows how far the `running` ones are, which lies in `folder` (store/stages.py). Use as a context
    manager; `say` prints a line above the display.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        folder: Path,
        *,
        console: Console,
        expected: Mapping[str, float] | None = None,
    ) -> None:
        self.console = console
        self.say = plain(console)
        self.total, self.ended, self.failed = len(steps), 0, 0
        self.remaining = Remaining(steps, expected)
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            _Left(self.left),
        )
        say = None if console.is_terminal else self.say
        self.running = Running(folder, say, self.left)
        self.bar = _Bar(*columns, console=console, disable=not console.is_terminal)
        self.bar.running = self.running
        self.task = self.bar.add_task("starting", total=self.total)

    def __enter__(self) -> Self:
        self.running.__enter__()
        self.bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.running.__exit__(*raised)
        self.bar.stop()

    def began(self, step: Step) -> None:
        """A step was handed to a worker, perhaps once more."""
        self.remaining.began()
        self.running.began(step)

    def ended_with(self, step: Step, outcome: Outcome) -> None:
        """Shows one ended step; a failure keeps its line in the terminal too."""
        self.running.ended(step)
        self.ended += 1
        self.remaining.ended(step, outcome.seconds if outcome.ok else None, outcome.loading)
        if not outcome.ok:
            self.failed += 1
            self.say(f"FAILED {step.name}: {outcome.reason}")
        if self.console.is_terminal:
            failed = f", {self.failed} failed" if self.failed else ""
            self.bar.update(self.task, advance=1, description=escape(step.name) + failed)
        elif outcome.ok:
            line = f"[{self.ended}/{self.total}] {step.name}: {outcome.seconds:.1f} s"
            left = self.left()
            self.say(f"{line}, {left}" if left else line)

    def left(self) -> str:
        """`about 12 min left`; nothing where that is not known, or nothing is left."""
        if self.ended == self.total:
            return ""
        seconds = self.remaining.seconds(self.running.ongoing())
        return "" if seconds is None else f"about {duration(seconds)} left"


class _Left(ProgressColumn):
    """How long all takes still, looked at once a second."""

    max_refresh = 1.0

    def __init__(self, left: Callable[[], str]) -> None:
        super().__init__()
        self._left = left

    def render(self, task: Task) -> Text:
        """As ProgressColumn's."""
        return Text(self._left())


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
