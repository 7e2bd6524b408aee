"""Per category a grid of test images with their masks and the maps of the systems, on one colour
scale.
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

from apc_bench.datasets.images import Geometry
from apc_bench.report.figure_style import file_name, style
from apc_bench.report.parallel import Drawing
from apc_bench.report.photos import Photos
from apc_bench.report.scaled_maps import COLOURS, HIGH, LOW, SCALE, Shown, read_shown
from apc_bench.report.selection import RULE, Pick, pick
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader

MAPS_MAX = 3


def gallery_drawings(results: Results, folder: Path, *, data: Path | None) -> dict[str, Drawing]:
    """One PNG a category: category -> drawing. `data`: the dataset's folder, None where the images
    are not at hand.
    """
    return {
        name: Drawing(
            partial(_category_gallery, name, data), folder, file_name(name), ("png",), 110
        )
        for name in results.categories
    }


def _category_gallery(
    category: str, data: Path | None, results: Results, run: RunReader
) -> Figure | None:
    return gallery_figure(results, run, category, data=data)


def gallery_figure(
    results: Results, run: RunReader, category: str, *, data: Path | None
) -> Figure | None:
    """The grid of one category, at the first seed and the largest number of shots; None where no
    system has maps that can be read.
    """
    seed = results.seeds[0]
    shown = [
        entry
        for system in gallery_systems(results)
        if (entry := read_shown(results, run, system, category, seed))
    ]
    if not shown:
        return None
    picks = pick(shown[-1].table, threshold=shown[-1].threshold)
    geometry = Geometry(int(results.settings["image_size"]), results.settings["resize"])
    masks = run.split(category, seed).masks
    photos = Photos(None if data is None else data / category, geometry, masks)
    with style():
        return _draw(f"{results.dataset}: {category}, seed {seed}", picks, shown, photos)


def gallery_systems(results: Results) -> list[System]:
    """The baseline, then the fine-tuned methods at their largest number of shots."""
    tuned = [system for system in results.at_most_shots() if not system.frozen]
    first = [results.baseline] if results.baseline else []
    return [*first, *tuned][:MAPS_MAX]


def _draw(title: str, picks: Sequence[Pick], shown: Sequence[Shown], photos: Photos) -> Figure:
    width = 2.0 + 1.75 * (2 + len(shown)) + 0.6
    caption = textwrap.fill(f"{RULE}. {SCALE.format(one=_ones(shown))}.", int(width * 15))
    figure = Figure(
        figsize=(width, 1.78 * len(picks) + 0.75 + 0.15 * len(caption.splitlines())),
        layout="constrained",
    )
    grid = figure.subplots(
        len(picks), 3 + len(shown), squeeze=False, width_ratios=[1.15] + [1] * (2 + len(shown))
    )
    headings = ["", "Image", "Mask", *(textwrap.fill(entry.system.label, 18) for entry in shown)]
    for axis, heading in zip(grid[0], headings, strict=True):
        axis.set_title(heading, fontsize=9)
    for row, axes in zip(picks, grid, strict=True):
        _draw_row(row, list(axes), shown, photos)
    maps = list(grid[:, 3:].flat)
    bar = figure.colorbar(
        ScalarMappable(Normalize(LOW, HIGH), COLOURS),
        ax=maps,
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


def _ones(shown: Sequence[Shown]) -> str:
    """What 1 is, for all systems or system by system."""
    if len({entry.one for entry in shown}) == 1:
        return shown[0].one
    return "; ".join(f"{entry.one} of {entry.system.title}" for entry in shown)


def _draw_row(row: Pick, axes: list[Axes], shown: Sequence[Shown], photos: Photos) -> None:
    for axis in axes:
        axis.set_axis_off()
    image, mask = photos.image(row.image), photos.mask(row.image, anomalous=row.label)
    size = photos.geometry.image_size
    scores = "\n".join(_score(entry, row.image) for entry in shown)
    name = textwrap.fill(row.image.rsplit("/", 1)[-1], 24)
    axes[0].text(
        0,
        0.5,
        f"{row.why}\n{textwrap.fill(row.defect_type, 24)}\n{name}\n\n{scores}",
        fontsize=8,
        va="center",
        linespacing=1.3,
    )
    axes[0].set(xlim=(0, 1), ylim=(0, 1))
    _draw_picture(axes[1], image, size)
    _draw_picture(axes[2], mask, size)
    for axis, entry in zip(axes[3:], shown, strict=True):
        if row.image not in entry.maps:
            _draw_picture(axis, "no map", size)
            continue
        extent = (-0.5, size - 0.5, size - 0.5, -0.5)
        axis.imshow(
            entry.maps[row.image],
            cmap=COLOURS,
            vmin=LOW,
            vmax=HIGH,
            interpolation="bilinear",
            extent=extent,
            aspect="equal",
        )
        if not isinstance(mask, str) and mask.any():
            axis.contour(mask, levels=[0.5], colors="white", linewidths=0.9)


def _score(entry: Shown, image: str) -> str:
    """`APC 1.30`: the image's score on the scale of the colours."""
    title = entry.system.title
    value = round(entry.scores[image], 2) + 0.0  # no negative zero
    return f"{title if len(title) <= 16 else title[:15] + '…'} {value:.2f}".replace(" -", " −")


def _draw_picture(
    axis: Axes, picture: NDArray[np.uint8] | NDArray[np.bool_] | str, size: int
) -> None:
    if isinstance(picture, str):
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
    else:
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.ndim == 2 else None)
