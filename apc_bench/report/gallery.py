"""Per category a grid of test images with their masks and the maps of the systems, on one colour scale."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from apc_bench.datasets.images import Geometry, read_image, read_mask
from apc_bench.errors import ApcError
from apc_bench.report.aggregate import TEST, Results, System
from apc_bench.report.drawing import Drawing
from apc_bench.report.figures import file_name, style
from apc_bench.report.selection import RULE, Pick, pick
from apc_bench.report.source import Source

MAPS_MAX = 3
COLOURS = "inferno"
LOW, HIGH = -2, 4
"""The one colour scale of all maps, with 1, the calibrated threshold, in its middle."""

SCALE = (
    "Colours: each system's distances are measured in its own calibration scores (0: their median, 1: {one}), then all maps share one scale, clipped at "
    "−2 and 4. Maps are on the detector's grid, before the smoothing of the pixel metrics; the line is the mask's outline"
)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One system of a gallery. `maps`: image -> (rows, columns) float32, scaled; `scores`: image -> image score, scaled. `one`: what 1 is."""

    system: System
    table: pl.DataFrame
    threshold: float | None
    maps: Mapping[str, NDArray[np.float32]]
    scores: Mapping[str, float]
    one: str


def gallery_drawings(results: Results, folder: Path, *, data: Path | None) -> dict[str, Drawing]:
    """One PNG a category: category -> drawing. `data`: the dataset's folder, None where the images are not at hand."""
    return {name: Drawing(partial(_category_gallery, name, data), folder, file_name(name), ("png",), 110) for name in results.categories}


def _category_gallery(category: str, data: Path | None, results: Results, run: Source) -> Figure | None:
    return gallery_figure(results, run, category, data=data)


def gallery_figure(results: Results, run: Source, category: str, *, data: Path | None) -> Figure | None:
    """The grid of one category, at the first seed and the largest number of shots; None where no system has maps that can be read."""
    seed = results.seeds[0]
    shown = [entry for system in gallery_systems(results) if (entry := _read(results, run, system, category, seed))]
    if not shown:
        return None
    picks = pick(shown[-1].table, threshold=shown[-1].threshold)
    geometry = Geometry(int(results.settings["image_size"]), results.settings["resize"])
    masks = dict(run.split(category, seed).select("image", "mask").iter_rows())
    pictures = _Pictures(None if data is None else data / category, geometry, masks)
    with style():
        return _draw(f"{results.dataset}: {category}, seed {seed}", picks, shown, pictures)


def gallery_systems(results: Results) -> list[System]:
    """The baseline, then the fine-tuned methods at their largest number of shots."""
    tuned = [system for system in results.at_most_shots() if not system.frozen]
    first = [results.baseline] if results.baseline else []
    return [*first, *tuned][:MAPS_MAX]


def _read(results: Results, run: Source, system: System, category: str, seed: int) -> Shown | None:
    trial = results.trials.get((system, category, seed))
    if trial is None or trial.result_key is None:
        return None
    try:
        table = run.scores(trial.result_key)
        names, maps = run.maps(trial.result_key)
    except ApcError:
        return None
    threshold: float | None = trial.rows[TEST]["threshold"]
    zero, span, one = _scale(table, threshold)
    scores = {image: (score - zero) / span for image, score in table.select("image", "score").iter_rows()}
    return Shown(system, table, threshold, {name: (map_ - zero) / span for name, map_ in zip(names, maps, strict=True)}, scores, one)


def _scale(table: pl.DataFrame, threshold: float | None) -> tuple[float, float, str]:
    """What is drawn as 0, the width of one unit, and what 1 is: the first of the known references that lies above 0."""
    by_split = {split: table.filter(pl.col("split") == split)["score"].to_numpy() for split in ("calibration", "test")}
    reference = by_split["calibration"] if len(by_split["calibration"]) else by_split["test"]
    zero = float(np.median(reference))
    candidates = [(threshold, "the calibrated threshold")]
    candidates += [(float(values.max()), f"the largest {split} score") for split, values in by_split.items() if len(values)]
    for value, words in candidates:
        if value is not None and value > zero:
            return zero, value - zero, words
    return zero, 1.0, "one unit of the distance"


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The images of a category, if they are at hand, as the detector saw them."""

    folder: Path | None
    geometry: Geometry
    masks: Mapping[str, str | None]

    def image(self, row: Pick) -> NDArray[np.uint8] | str:
        """(s, s, 3) uint8, or why there is no picture."""
        if self.folder is None:
            return "image not at hand"
        try:
            return self.geometry.apply(read_image(self.folder / row.image))
        except (ApcError, OSError):
            return "image cannot be read"

    def mask(self, row: Pick) -> NDArray[np.bool_] | str:
        """(s, s) bool, or why there is no mask."""
        size = self.geometry.image_size
        name = self.masks.get(row.image)
        if not row.label:
            return np.zeros((size, size), bool)
        if name is None:
            return "no mask"
        if self.folder is None:
            return "mask not at hand"
        try:
            return self.geometry.apply_mask(read_mask(self.folder / name))
        except (ApcError, OSError):
            return "mask cannot be read"


def _draw(title: str, picks: Sequence[Pick], shown: Sequence[Shown], pictures: _Pictures) -> Figure:
    width = 2.0 + 1.75 * (2 + len(shown)) + 0.6
    caption = textwrap.fill(f"{RULE}. {SCALE.format(one=_ones(shown))}.", int(width * 15))
    figure = Figure(figsize=(width, 1.78 * len(picks) + 0.75 + 0.15 * len(caption.splitlines())), layout="constrained")
    grid = figure.subplots(len(picks), 3 + len(shown), squeeze=False, width_ratios=[1.15] + [1] * (2 + len(shown)))
    headings = ["", "Image", "Mask", *(textwrap.fill(entry.system.label, 18) for entry in shown)]
    for axis, heading in zip(grid[0], headings, strict=True):
        axis.set_title(heading, fontsize=9)
    for row, axes in zip(picks, grid, strict=True):
        _draw_row(row, list(axes), shown, pictures)
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


def _draw_row(row: Pick, axes: list[Axes], shown: Sequence[Shown], pictures: _Pictures) -> None:
    for axis in axes:
        axis.set_axis_off()
    image, mask = pictures.image(row), pictures.mask(row)
    size = pictures.geometry.image_size
    scores = "\n".join(_score(entry, row.image) for entry in shown)
    name = textwrap.fill(row.image.rsplit("/", 1)[-1], 24)
    axes[0].text(0, 0.5, f"{row.why}\n{textwrap.fill(row.defect_type, 24)}\n{name}\n\n{scores}", fontsize=8, va="center", linespacing=1.3)
    axes[0].set(xlim=(0, 1), ylim=(0, 1))
    _draw_picture(axes[1], image, size)
    _draw_picture(axes[2], mask, size)
    for axis, entry in zip(axes[3:], shown, strict=True):
        if row.image not in entry.maps:
            _draw_picture(axis, "no map", size)
            continue
        extent = (-0.5, size - 0.5, size - 0.5, -0.5)
        axis.imshow(entry.maps[row.image], cmap=COLOURS, vmin=LOW, vmax=HIGH, interpolation="bilinear", extent=extent, aspect="equal")
        if not isinstance(mask, str) and mask.any():
            axis.contour(mask, levels=[0.5], colors="white", linewidths=0.9)


def _score(entry: Shown, image: str) -> str:
    """`APC 1.30`: the image's score on the scale of the colours."""
    title = entry.system.title
    value = round(entry.scores[image], 2) + 0.0  # no negative zero
    return f"{title if len(title) <= 16 else title[:15] + '…'} {value:.2f}".replace(" -", " −")


def _draw_picture(axis: Axes, picture: NDArray[np.uint8] | NDArray[np.bool_] | str, size: int) -> None:
    if isinstance(picture, str):
        axis.imshow(np.full((size, size), 230, np.uint8), cmap="gray", vmin=0, vmax=255)
        axis.text(size / 2, size / 2, picture.replace(" ", "\n", 1), ha="center", va="center", fontsize=8, color="#444444")
    else:
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.ndim == 2 else None)
