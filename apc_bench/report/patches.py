"""Where a patch of the detector's grid lies in an image, and the crop that shows it with what
surrounds it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.images import Geometry

CELLS = 5
"""Cells a side of a crop; the patch is the middle one."""

CROP_SIDE = 112


@dataclass(frozen=True, slots=True)
class Patch:
    """A cell of the grid (rows, columns) that covers the input."""

    row: int
    column: int
    grid: tuple[int, int]

    def box(self, cells: int = 1) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of it and its neighbours, `cells` a side, as shares of the
        input's sides; may reach beyond.
        """
        reach = (cells - 1) / 2
        rows, columns = self.grid
        return (
            (self.column - reach) / columns,
            (self.row - reach) / rows,
            (self.column + 1 + reach) / columns,
            (self.row + 1 + reach) / rows,
        )


def crop_around(patch: Patch, original: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 as on the disk -> (CROP_SIDE, CROP_SIDE, 3): CELLS × CELLS cells around the
    patch, black beyond the image.
    """
    place = geometry.place(*original.shape[:2])
    across, down = original.shape[1] / place.resized_width, original.shape[0] / place.resized_height
    left, top, right, bottom = (share * geometry.image_size for share in patch.box(CELLS))
    edges = (
        (left - place.left) * across,
        (top - place.top) * down,
        (right - place.left) * across,
        (bottom - place.top) * down,
    )
    part = Image.fromarray(original).crop(tuple(round(edge) for edge in edges))
    return np.asarray(part.resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BICUBIC))
