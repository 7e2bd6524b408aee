"""A trial's anomaly maps by image."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from apc_bench.errors import UsageError, listed
from apc_bench.interface.facts import Facts
from apc_bench.report.figure_style import ReportFigure, style
from apc_bench.report.scaled_maps import COLOURS

DRAWN_MAX = 12
"""Maps that a picture shows: the first ones."""

COLUMNS = 4


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Maps:
    """The maps of one trial; `maps[image]` is an image's, (rows, columns) float32.

    `images`: names, relative to the category's folder; `values`: all of them in that order,
    (images, rows, columns) float32 on the detector's own grid, in the unit that `definitions`
    names, larger is more anomalous; `title`: whose they are.
    """

    title: str
    images: Sequence[str]
    values: NDArray[np.float32]
    definitions: Facts
    provenance: Facts

    def __getitem__(self, image: str) -> NDArray[np.float32]:
        """The map of one image. Raises UsageError with the nearest name for one that has none."""
        try:
            place = self.images.index(image)
        except ValueError:
            near = difflib.get_close_matches(image, self.images, n=5) or self.images
            raise UsageError(f"no map of '{image}' (there is: {listed(near, 5)})") from None
        one: NDArray[np.float32] = self.values[place]
        return one

    def __contains__(self, image: object) -> bool:
        return image in self.images

    def __iter__(self) -> Iterator[str]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def only(self, images: Iterable[str]) -> "Maps":
        """These alone, in this order. Raises UsageError as `maps[image]`."""
        names = list(images)
        shape = (0, *self.values.shape[1:])
        values = np.stack([self[name] for name in names]) if names else np.empty(shape, np.float32)
        return replace(self, images=names, values=values)

    def figure(self) -> Figure:
        """The first maps side by side, in one scale of colours. Raises UsageError for none."""
        if not self.images:
            raise UsageError(f"no map to draw of {self.title}: no image was chosen")
        shown = list(self.images)[:DRAWN_MAX]
        rows = -(-len(shown) // COLUMNS)
        columns = min(len(shown), COLUMNS)
        with style():
            size = (1.6 * columns + 0.9, 1.75 * rows + 0.5)
            figure = ReportFigure(figsize=size, layout="constrained")
            grid = figure.subplots(rows, columns, squeeze=False)
            drawn = self.values[: len(shown)]
            for axis in grid.flat:
                axis.set_axis_off()
            for axis, name, values in zip(grid.flat, shown, drawn, strict=False):
                picture = axis.imshow(values, cmap=COLOURS, vmin=drawn.min(), vmax=drawn.max())
                axis.set_title(textwrap.fill(name.removeprefix("test/"), 24), fontsize=7)
            figure.colorbar(picture, ax=list(grid.flat), shrink=0.8, label=self.definitions["Unit"])
            more = "" if len(shown) == len(self) else f" (the first {len(shown)} of {len(self)})"
            figure.suptitle(self.title + more)
        figure.definitions, figure.provenance = self.definitions, self.provenance
        return figure

    def __repr__(self) -> str:
        count, rows, columns = self.values.shape
        return f"{count} maps of {rows} × {columns}: {self.title}"

    def _repr_png_(self) -> bytes | None:
        if not self.images:
            return None
        figure = self.figure()
        assert isinstance(figure, ReportFigure)
        return figure._repr_png_()
