"""Good photos that set a threshold by themselves, beside usual ones: what is different about them
is seen at once, and no figure tells it.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from apc_bench.errors import ApcError
from apc_bench.report.figure_style import (
    COLOURS,
    COLUMN,
    WITH_PNG,
    ReportFigure,
    style,
    title_of,
)
from apc_bench.report.parallel import FigureTask
from apc_bench.report.pictures import RGB, Patch, photos_of
from apc_bench.results.aggregate import Results, System
from apc_bench.results.answer import Answer
from apc_bench.results.far_apart import FarApart
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.answer import spoken_of

NAME = "far_apart"

ROWS, USUAL, FAR = 3, 2, 6
"""Categories at most, usual photos of each, and photos that set a threshold, which are shown."""

AROUND = 3
"""Cells a side of the square around the worst patch."""

FAR_EDGE, USUAL_EDGE = COLOURS[:2]


@dataclass(frozen=True, slots=True)
class _Row:
    """A category, the first system of its answer whose threshold such photos set, and a seed where
    they do.
    """

    category: str
    system: System
    seed: int
    far: FarApart


def far_apart_task(answered: Sequence[Answer], folder: Path, *, data: Path | None) -> FigureTask:
    """`far_apart`: all categories. `data`: the dataset's folder, None where it is not at hand."""
    draw = partial(far_apart_figure, answered=answered, data=data)
    return FigureTask(draw, folder, NAME, WITH_PNG)


def far_apart_figure(
    results: Results, run: RunReader, *, answered: Sequence[Answer], data: Path | None
) -> Figure | None:
    """A row a category: usual photos, then those that set a threshold, the farthest first, each
    with a square around its worst patch. None where there are none, or none that can be read.
    """
    rows = list(_rows(answered))[:ROWS]
    pictures = {row.category: dict(_pictures(results, run, row, data)) for row in rows}
    rows = [row for row in rows if pictures[row.category]]
    if not rows:
        return None
    with style():
        figure = ReportFigure(figsize=(COLUMN, 3.0 * len(rows)), layout="constrained")
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for row, part in zip(rows, parts, strict=True):
            title = (
                f"{row.category}: good photos that set {row.system.title}'s threshold, beside usual"
                " ones; square: the worst patch"
            )
            part.suptitle(title_of(title))
            grid = part.subplots(USUAL, 1 + FAR // USUAL, squeeze=False)
            for axis in grid.flat:
                axis.set_axis_off()
            shown, worst = pictures[row.category], _worst(results, run, row)
            for images, axes in ((row.far.usual, grid[:, 0]), (row.far.images, grid[:, 1:].flat)):
                readable = [image for image in images if image in shown]
                for image, axis in zip(readable, axes, strict=False):
                    usual = images is row.far.usual
                    _draw(axis, image, shown[image], worst.get(image), usual=usual)
    return figure


def _rows(answered: Sequence[Answer]) -> Iterator[_Row]:
    for answer in answered:
        for found in spoken_of(answer):
            if far := answer.far_apart.get(found.system):
                yield _Row(answer.category, found.system, answer.seeds[far.first], far)
                break


def _pictures(
    results: Results, run: RunReader, row: _Row, data: Path | None
) -> Iterator[tuple[str, RGB]]:
    """Those that can be read, as the detector saw them."""
    photos = photos_of(results, run, row.category, data)
    for image in (*row.far.usual[:USUAL], *row.far.images[:FAR]):
        picture = photos.image(image)
        if not isinstance(picture, str):
            yield image, picture


def _worst(results: Results, run: RunReader, row: _Row) -> dict[str, Patch]:
    """Image -> its worst patch; of no image where the trial's files cannot be read."""
    key = results.trials[row.system, row.category, row.seed].result_key
    try:
        scores, (_, maps) = run.scores(key or ""), run.maps(key or "")
    except ApcError:
        return {}
    grid = (maps.shape[1], maps.shape[2])
    places = scores.select("image", "worst_row", "worst_column").iter_rows()
    return {image: Patch(down, across, grid) for image, down, across in places}


def _draw(axis: Axes, image: str, picture: RGB, worst: Patch | None, *, usual: bool) -> None:
    axis.imshow(picture)
    if worst is not None:
        left, top, right, bottom = (share * len(picture) - 0.5 for share in worst.box(AROUND))
        corner, sides = (left, top), (right - left, bottom - top)
        axis.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="white", linewidth=1.2))
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for edge in axis.spines.values():
        edge.set(visible=True, color=USUAL_EDGE if usual else FAR_EDGE, linewidth=1.5)
    kind = "usual" if usual else "far apart"
    axis.set_xlabel(f"{kind}\n{textwrap.shorten(Path(image).name, 18, placeholder='…')}")
