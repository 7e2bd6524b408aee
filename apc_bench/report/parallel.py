"""The work of a report, several pieces at a time where there are many: each is about a second of
one core, and matplotlib is not made for threads.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from apc_bench.files.machine import usable_cores
from apc_bench.files.processes import ANEW
from apc_bench.report.figure_style import DPI, FORMATS, WITH_PNG, file_name, save
from apc_bench.results.aggregate import Results
from apc_bench.results.run_reader import RunReader

PER_PROCESS = 12
"""Pieces of work that make up for the start of one more process, which takes 2 to 3 s of a core."""

Task = Callable[[Results, RunReader], Any]
"""A piece of work that can be pickled: a function of a module, with arguments bound to it."""

Draw = Callable[[Results, RunReader], Figure | None]


@dataclass(frozen=True, slots=True)
class FigureTask:
    """A figure to be drawn and saved as `folder/name.*`; `draw` gives None where there is nothing
    to draw.
    """

    draw: Draw
    folder: Path
    name: str
    formats: Sequence[str] = FORMATS
    dpi: int = DPI

    def __call__(self, results: Results, run: RunReader) -> bool:
        """Draws and saves; says whether there was something to draw."""
        figure = self.draw(results, run)
        if figure is not None:
            save(figure, self.folder, self.name, self.formats, dpi=self.dpi)
        return figure is not None

    @property
    def path(self) -> Path:
        """Of its files, without their endings."""
        return self.folder / self.name

    def svg(self) -> bytes:
        """The drawn figure's SVG file."""
        return (self.folder / f"{self.name}.svg").read_bytes()


def of_results(
    draw: Callable[..., Figure | None], results: Results, _run: RunReader, **bound: Any
) -> Figure | None:
    """Of a figure that needs no more of a run than its results: bound to it, what `FigureTask`
    draws.
    """
    return draw(results, **bound)


def figure_by_category(
    draw: Callable[..., Figure | None], results: Results, folder: Path, name: str
) -> dict[str, FigureTask]:
    """Category -> its figure, `draw(results, run, category=…)`, as `name_CATEGORY.*`."""
    return {
        category: FigureTask(
            partial(draw, category=category), folder, f"{name}_{file_name(category)}"
        )
        for category in results.categories
    }


def figure_of_the_mean(
    draw: Callable[..., Figure | None], results: Results, folder: Path, name: str
) -> dict[str, FigureTask]:
    """'' -> the figure of the mean over categories, `category=None`, as `name.*`; nothing where
    there is one category alone.
    """
    if len(results.categories) == 1:
        return {}
    return {"": FigureTask(partial(draw, category=None), folder, name, WITH_PNG)}


@contextmanager
def performed(
    tasks: Sequence[Task], results: Results, run: RunReader, *, processes: int | None = None
) -> Iterator[Iterator[Any]]:
    """What each task gives, in their order, worked on beside what is done meanwhile; where there is
    little to do, each when it is asked for. `processes`: by default as many as cores.
    """
    processes = processes or min(usable_cores().amount, len(tasks) // PER_PROCESS)
    if processes < 2:
        yield (task(results, run) for task in tasks)
        return
    # Started anew, not forked: a fork would copy the locks of polars' and Arrow's threads. What is
    # sent with the start is copied here and now: tables made meanwhile fill its caches.
    with ProcessPoolExecutor(
        processes, ANEW, initializer=_remember, initargs=(results, run)
    ) as pool:
        try:
            yield pool.map(_perform_remembered, tasks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_remembered: list[tuple[Results, RunReader]] = []
"""What a process of its own works from, sent to it once."""


def _remember(results: Results, run: RunReader) -> None:
    _remembered.append((results, run))
    # What is imported and sent stays; looking through it for garbage again and again would take a
    # tenth of the time.
    gc.freeze()


def _perform_remembered(task: Task) -> Any:
    return task(*_remembered[0])
