"""What there is to know of each file: decoded once, side by side, and forgotten but for a few
numbers.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apc_bench.datasets.check.similar import difference_hash
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import PIXELS_MAX, anomalous_pixels, read_levels, read_photo
from apc_bench.errors import DataError
from apc_bench.files.hashing import file_sha256


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """An image that could be read: height and width in pixels, its mode in words of Pillow, whether
    EXIF asks to turn it, sha256 and its difference hash (32,) uint8 (similar.py); `outside`: where
    a link leads out of the dataset.
    """

    size: tuple[int, int]
    mode: str
    turned: bool
    sha256: str
    hash: NDArray[np.uint8]
    outside: str | None


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """A mask that could be read: height and width, how many grey levels it has, and its anomalous
    pixels before and after the resize.
    """

    size: tuple[int, int]
    levels: int
    anomalous: int
    left: int


Inspected = Photo | MaskFacts | str
"""What is known of a file; a string says why it cannot be read."""


def inspect(
    folder: Path, images: list[str], masks: list[str], geometry: Geometry
) -> dict[str, Inspected]:
    """Every file of a category, by path. Memory is bounded by a few decoded images at a time."""
    look_at_photo = partial(_photo, folder)
    look_at_mask = partial(_mask, geometry)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        photos = pool.map(lambda name: _or_reason(look_at_photo, folder / name), images)
        others = pool.map(lambda name: _or_reason(look_at_mask, folder / name), masks)
        return dict(zip([*images, *masks], [*photos, *others], strict=True))


def _or_reason(look: Callable[[Path], Inspected], path: Path) -> Inspected:
    try:
        return look(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or str(error)


def _photo(folder: Path, path: Path) -> Photo:
    pixels, mode, turned = read_photo(path)
    real = path.resolve()
    inside = real.is_relative_to(folder.resolve())
    return Photo(
        pixels.shape[:2],
        mode,
        turned,
        file_sha256(path),
        difference_hash(pixels),
        None if inside else str(real),
    )


def _mask(geometry: Geometry, path: Path) -> MaskFacts:
    levels = read_levels(path)
    anomalous = anomalous_pixels(levels)
    height, width = anomalous.shape
    place = geometry.place(height, width)
    left = 0
    if place.resized_height * place.resized_width <= PIXELS_MAX:
        left = int(geometry.apply_mask(anomalous).sum())
    return MaskFacts((height, width), len(np.unique(levels)), int(anomalous.sum()), left)
