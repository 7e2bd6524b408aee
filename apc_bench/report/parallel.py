"""The work of a report, several pieces at a time where there are many: each is about a second of
one core, and matplotlib is not made for threads.
"""

import gc
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from apc_bench.report.figure_style import DPI, FORMATS, save
from apc_bench.results.aggregate import Results
from apc_bench.results.run_reader import RunReader

PER_PROCESS = 8
"""Pieces of work that make up for the start of one more process."""

Task = Callable[[Results, RunReader], Any]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure to be drawn and saved as `folder/name.*`. `make` is a function of a module with its
    arguments bound; None: nothing to draw.
    """

    make: Callable[[Results, RunReader], Figure | None]
    folder: Path
    name: str
    formats: Sequence[str] = FORMATS
    dpi: int = DPI

    def __call__(self, results: Results, run: RunReader) -> bool:
        """Draws and saves; says whether there was something to draw."""
        figure = self.make(results, run)
        if figure is not None:
            save(figure, self.folder, self.name, self.formats, dpi=self.dpi)
        return figure is not None

    def svg(self) -> bytes:
        """The drawn figure's SVG file."""
        return (self.folder / f"{self.name}.svg").read_bytes()


def perform(
    tasks: Sequence[Task], results: Results, run: RunReader, *, processes: int | None = None
) -> list[Any]:
    """What each task, a function that can be pickled, gives, in their order. `processes`: by
    default as many as cores, where there is enough to do.
    """
    processes = processes or min(os.cpu_count() or 1, len(tasks) // PER_PROCESS)
    if processes < 2:
        return [task(results, run) for task in tasks]
    # Started anew, not forked: a fork would copy the locks of polars' and Arrow's threads.
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_remember, initargs=(results, run)
    ) as pool:
        return list(pool.map(_perform_remembered, tasks))


_remembered: list[tuple[Results, RunReader]] = []
"""What a process of its own works from, sent to it once."""


def _remember(results: Results, run: RunReader) -> None:
    _remembered.append((results, run))
    # what is imported and sent stays; looking through it again and again would take a tenth of the
    # time
    gc.freeze()


def _perform_remembered(task: Task) -> Any:
    return task(*_remembered[0])
