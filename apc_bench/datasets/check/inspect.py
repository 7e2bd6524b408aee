"""What there is to know of each file: decoded once, side by side, and forgotten but for a few
numbers.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apc_bench.datasets.check.similar import difference_hash
from apc_bench.datasets.images import (
    PIXELS_MAX,
    Geometry,
    anomalous_pixels,
    read_levels,
    read_photo,
)
from apc_bench.errors import DataError
from apc_bench.hashing import file_sha256


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """An image that could be read: height and width in pixels, its mode in words of Pillow, whether
    EXIF asks to turn it, sha256 and its difference hash (similar.py); `outside`: where a link leads
    out of the dataset.
    """

    size: tuple[int, int]
    mode: str
    turned: bool
    sha256: str
    hash: NDArray[np.uint8]
    outside: str | None


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask that could be read: its size, how many grey levels it has, and its anomalous pixels
    before and after the resize.
    """

    size: tuple[int, int]
    levels: int
    anomalous: int
    left: int


Seen = Photo | Mask | str
"""What was seen of a file; a string says why it cannot be read."""


def look(
    folder: Path, images: list[str], masks: list[str], geometry: Geometry
) -> Mapping[str, Seen]:
    """Every file of a category, by path. Memory is bounded by a few decoded images at a time."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        photos = pool.map(lambda name: _photo(folder, name), images)
        others = pool.map(lambda name: _mask(folder / name, geometry), masks)
        return dict(zip([*images, *masks], [*photos, *others], strict=True))


def _photo(folder: Path, name: str) -> Photo | str:
    path = folder / name
    try:
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
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or str(error)


def _mask(path: Path, geometry: Geometry) -> Mask | str:
    try:
        values = read_levels(path)
        anomalous = anomalous_pixels(values)
        place = geometry.place(*anomalous.shape)
        fits = place.resized_height * place.resized_width <= PIXELS_MAX
        left = int(geometry.apply_mask(anomalous).sum()) if fits else 0
        return Mask(
            (anomalous.shape[0], anomalous.shape[1]),
            len(np.unique(values)),
            int(anomalous.sum()),
            left,
        )
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or str(error)
