"""What there is to know of each file: decoded once, side by side, and forgotten but for a few
numbers.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apc_bench.datasets.check.similar import Sketch, sketch
from apc_bench.datasets.decoding import NOTHING
from apc_bench.datasets.encoding import Encoding
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import PIXELS_MAX, read_preview
from apc_bench.datasets.masks import read_planes, turn_of, upright_pixels
from apc_bench.datasets.no_photos import few_colours
from apc_bench.errors import DataError
from apc_bench.files.hashing import file_sha256
from apc_bench.files.machine import usable_cores


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """An image that could be read: height and width in pixels, upright, its mode in words of
    Pillow, its smallest and largest grey value of 255, sha256, what it is compared with others by
    (similar.py), whether it has as few colours as masks have (no_photos.py); `outside`: where a
    link leads out of the dataset.
    """

    size: tuple[int, int]
    mode: str
    values: tuple[int, int]
    sha256: str
    sketch: Sketch
    few_colours: bool
    outside: str | None


@dataclass(frozen=True, slots=True)
class MaskLook:
    """A mask that could be read: height and width, how many values it has, and its anomalous pixels
    before and after the resize.
    """

    size: tuple[int, int]
    levels: int
    anomalous: int
    left: int

    @property
    def share(self) -> float:
        """The anomalous part of the image."""
        return self.anomalous / max(1, self.size[0] * self.size[1])


Inspected = Photo | MaskLook | str
"""What is known of a file; a string says why it cannot be read."""


def inspect(
    folder: Path,
    images: list[str],
    masks: Mapping[str, str | None],
    encoding: Encoding,
    geometry: Geometry,
) -> Iterator[tuple[str, Inspected]]:
    """Every file of a category, by path, as it was looked at. `masks`: mask -> its image. Memory is
    bounded by a few decoded images at a time.
    """

    def look_at(name: str) -> Inspected:
        path = folder / name
        try:
            if name not in masks:
                return _photo(folder, path, encoding.bits)
            image = masks[name]
            turn = turn_of(folder, image, encoding) if image else 1
            return _mask(path, encoding, turn, geometry)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")
        except OSError as error:
            return error.strerror or str(error)

    names = [*images, *masks]
    with ThreadPoolExecutor(usable_cores().amount) as pool:
        yield from zip(names, pool.map(look_at, names), strict=True)


def _photo(folder: Path, path: Path, bits: int) -> Photo:
    preview = read_preview(path, bits)
    colours = few_colours(preview.image)
    if colours == 1:
        raise DataError(NOTHING)
    grey = np.asarray(preview.image.convert("L"))
    real = path.resolve()
    inside = real.is_relative_to(folder.resolve())
    return Photo(
        preview.size,
        preview.mode,
        (int(grey.min()), int(grey.max())),
        file_sha256(path),
        sketch(grey),
        colours is not None,
        None if inside else str(real),
    )


def _mask(path: Path, encoding: Encoding, turn: int, geometry: Geometry) -> MaskLook:
    planes = read_planes(path)
    assert encoding.masks is not None
    anomalous = upright_pixels(planes, encoding.masks, turn)
    height, width = anomalous.shape
    place = geometry.place(height, width)
    left = 0
    if place.resized_height * place.resized_width <= PIXELS_MAX:
        left = int(geometry.apply_mask(anomalous).sum())
    levels = len(np.unique(planes.levels()))
    return MaskLook((height, width), levels, int(anomalous.sum()), left)
