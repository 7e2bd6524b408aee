"""Figures drawn, several at a time where there are many: each is about a second of one core, and matplotlib is not made for threads."""

import gc
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from matplotlib.figure import Figure

from apc_bench.report.aggregate import Results
from apc_bench.report.figures import DPI, FORMATS, save
from apc_bench.report.source import Source

PER_PROCESS = 8
"""Figures that make up for the start of one more process."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure to be drawn and saved as `folder/name.*`. `make` is a function of a module with its arguments bound; None: nothing to draw."""

    make: Callable[[Results, Source], Figure | None]
    folder: Path
    name: str
    formats: Sequence[str] = FORMATS
    dpi: int = DPI


def draw(drawings: Sequence[Drawing], results: Results, run: Source, *, processes: int | None = None) -> list[bool]:
    """Draws all; says which there was something to draw for. `processes`: by default as many as cores, where there are enough figures."""
    processes = processes or min(os.cpu_count() or 1, len(drawings) // PER_PROCESS)
    if processes < 2:
        return [_draw(drawing, results, run) for drawing in drawings]
    # Started anew, not forked: a fork would copy the locks of polars' and Arrow's threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_remember, initargs=(results, run)) as pool:
        return list(pool.map(_draw_remembered, drawings))


def _draw(drawing: Drawing, results: Results, run: Source) -> bool:
    figure = drawing.make(results, run)
    if figure is not None:
        save(figure, drawing.folder, drawing.name, drawing.formats, dpi=drawing.dpi)
    return figure is not None


_remembered: list[tuple[Results, Source]] = []
"""What a process of its own draws from, sent to it once."""


def _remember(results: Results, run: Source) -> None:
    _remembered.append((results, run))
    gc.freeze()  # what is imported and sent stays; looking through it again and again would take a tenth of the time


def _draw_remembered(drawing: Drawing) -> bool:
    return _draw(drawing, *_remembered[0])
