"""Per category a grid of test images with their masks and the maps of the systems, on one colour
scale: the page's pictures side by side in one file, for those who have no page at hand.
"""

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from apc_bench.report.figure_style import ReportFigure, file_name, style
from apc_bench.report.parallel import FigureTask
from apc_bench.report.pictures import RGB, Mask, Photos, photos_of
from apc_bench.report.scaled_maps import COLOURS, HIGH, LOW, SCALE, ScaledMaps, read_scaled_maps
from apc_bench.report.selection import RULE, Pick, pick
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader

MAPS_MAX = 3
DPI = 110


def gallery_tasks(results: Results, folder: Path, *, data: Path | None) -> dict[str, FigureTask]:
    """One PNG a category: category -> task. `data`: the dataset's folder, None where the images are
    not at hand.
    """
    return {
        category: FigureTask(
            partial(gallery_figure, category=category, data=data),
            folder,
            file_name(category),
            ("png",),
            DPI,
        )
        for category in results.categories
    }


def gallery_figure(
    results: Results, run: RunReader, category: str, *, data: Path | None
) -> Figure | None:
    """The grid of one category, at the first seed and the largest number of shots; None where no
    system has maps that can be read.
    """
    seed = results.seeds[0]
    shown = []
    for system in gallery_systems(results):
        scaled = read_scaled_maps(system, results.trials.get((system, category, seed)), run)
        if scaled is not None:
            shown.append(scaled)
    if not shown:
        return None
    picks = pick(shown[-1].table, threshold=shown[-1].threshold)
    photos = photos_of(results, run, category, data)
    with style():
        return _grid(
            f"{results.dataset}: {category}, {results.seed_words[0]} {seed}", picks, shown, photos
        )


def gallery_systems(results: Results) -> list[System]:
    """The baseline, then the fine-tuned methods at their largest number of shots."""
    tuned = [system for system in results.at_most_shots() if not system.frozen]
    first = [results.baseline] if results.baseline else []
    return [*first, *tuned][:MAPS_MAX]


def _grid(title: str, picks: Sequence[Pick], shown: Sequence[ScaledMaps], photos: Photos) -> Figure:
    """A row a pick: words, image, mask, and a map a system."""
    columns = 2 + len(shown)
    width = 2.0 + 1.75 * columns + 0.6
    caption = textwrap.fill(f"{RULE}. {SCALE.format(one=_ones(shown))}.", int(width * 15))
    height = 1.78 * len(picks) + 0.75 + 0.15 * len(caption.splitlines())
    figure = ReportFigure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(
        len(picks), 1 + columns, squeeze=False, width_ratios=[1.15] + [1] * columns
    )
    headings = ["", "Image", "Mask", *(textwrap.fill(maps.system.label, 18) for maps in shown)]
    for axis, heading in zip(grid[0], headings, strict=True):
        axis.set_title(heading, fontsize=9)
    for row, axes in zip(picks, grid, strict=True):
        _draw_row(row, list(axes), shown, photos)
    bar = figure.colorbar(
        ScalarMappable(Normalize(LOW, HIGH), COLOURS),
        ax=list(grid[:, 3:].flat),
        location="right",
        fraction=0.03,
        pad=0.02,
        aspect=40,
        shrink=0.6,
        extend="both",
    )
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(caption, fontsize=7.5, x=0.01, ha="left")
    return figure


def _ones(shown: Sequence[ScaledMaps]) -> str:
    """What 1 is, for all systems or system by system."""
    if len({maps.one for maps in shown}) == 1:
        return shown[0].one
    return "; ".join(f"{maps.one} of {maps.system.title}" for maps in shown)


def _draw_row(row: Pick, axes: list[Axes], shown: Sequence[ScaledMaps], photos: Photos) -> None:
    words, photo, truth, *of_systems = axes
    for axis in axes:
        axis.set_axis_off()
    name = row.image.rsplit("/", 1)[-1]
    lines = [row.why, textwrap.fill(row.defect_type, 24), textwrap.fill(name, 24), ""]
    lines += [_score(maps, row.image) for maps in shown]
    words.text(0, 0.5, "\n".join(lines), fontsize=8, va="center", linespacing=1.3)
    words.set(xlim=(0, 1), ylim=(0, 1))
    size = photos.geometry.image_size
    mask = photos.mask(row.image, anomalous=row.label)
    _draw_picture(photo, photos.image(row.image), size)
    _draw_picture(truth, mask, size)
    for axis, maps in zip(of_systems, shown, strict=True):
        if row.image not in maps.maps:
            _draw_picture(axis, "no map", size)
            continue
        _draw_map(axis, maps.maps[row.image], size)
        if not isinstance(mask, str) and mask.any():
            axis.contour(mask, levels=[0.5], colors="white", linewidths=0.9)


def _score(maps: ScaledMaps, image: str) -> str:
    """`APC 1.30`: the image's score on the scale of the colours."""
    title = maps.system.title
    short = title if len(title) <= 16 else f"{title[:15]}…"
    return f"{short} {maps.score(image):.2f}".replace(" -", " −")


def _draw_map(axis: Axes, scaled: NDArray[np.float32], size: int) -> None:
    """A scaled map (rows, columns) over the pixels of an input (size, size)."""
    axis.imshow(
        scaled,
        cmap=COLOURS,
        vmin=LOW,
        vmax=HIGH,
        interpolation="bilinear",
        extent=(-0.5, size - 0.5, size - 0.5, -0.5),
        aspect="equal",
    )


def _draw_picture(axis: Axes, picture: RGB | Mask | str, size: int) -> None:
    """A photo, a mask, or on grey why there is none."""
    if not isinstance(picture, str):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.ndim == 2 else None)
        return
    axis.imshow(np.full((size, size), 230, np.uint8), cmap="gray", vmin=0, vmax=255)
    axis.text(
        size / 2,
        size / 2,
        picture.replace(" ", "\n", 1),
        ha="center",
        va="center",
        fontsize=8,
        color="#444444",
    )
