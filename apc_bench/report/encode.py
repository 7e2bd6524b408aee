"""Pictures as data addresses, so that a page holds them itself. Small on purpose: a page has
thousands.
"""

import base64
import io

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from apc_bench.report.scaled_maps import COLOURS, HIGH, LOW

SIDE_MAX = 176
"""Pixels of a photo or mask in a page."""

CELLS_MAX = 64
"""Cells a side of a map in a page; a finer map keeps the largest value of what falls together, so
that no small defect vanishes.
"""

LEVELS = 64

RGB = NDArray[np.uint8]


def photo(picture: RGB, side: int = SIDE_MAX) -> str:
    """(h, w, 3) uint8 as JPEG, the longer side at most `side` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return _address(image, "jpeg", quality=78, optimize=True)


def map_picture(scaled: NDArray[np.float32]) -> str:
    """A scaled map (rows, columns) in the report's colours, a pixel a cell; the browser draws it
    larger, smoothly.
    """
    part = np.clip((_coarser(scaled) - LOW) / (HIGH - LOW), 0, 1)
    image = Image.fromarray(np.rint(part * (LEVELS - 1)).astype(np.uint8))
    image.putpalette(
        (colormaps[COLOURS](np.linspace(0, 1, LEVELS))[:, :3] * 255)
        .round()
        .astype(np.uint8)
        .tobytes()
    )
    return _address(image, "png", bits=8)


def _coarser(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most CELLS_MAX cells a side, each the largest of the values in it."""
    for axis in (0, 1):
        step = -(-values.shape[axis] // CELLS_MAX)
        if step > 1:
            values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], step), axis=axis)
    return values


def colour_bar() -> str:
    """The colours from LOW to HIGH, left to right."""
    return map_picture(np.linspace(LOW, HIGH, CELLS_MAX, dtype=np.float32)[None])


def mask_picture(mask: NDArray[np.bool_]) -> str:
    """(s, s) bool: white is anomalous."""
    return _address(_small(mask), "png")


def outline_picture(mask: NDArray[np.bool_]) -> str:
    """The mask's outline, white on nothing, to lie over a map."""
    inside = np.asarray(_small(mask)) > 0
    edge = inside & ~binary_erosion(inside, border_value=0)
    image = Image.fromarray(edge.astype(np.uint8))
    image.putpalette(bytes((0, 0, 0, 255, 255, 255)))
    return _address(image, "png", bits=1, transparency=0)


def _small(mask: NDArray[np.bool_]) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.thumbnail((SIDE_MAX, SIDE_MAX), Image.Resampling.NEAREST)
    return image.convert("1", dither=Image.Dither.NONE)


def _address(image: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
