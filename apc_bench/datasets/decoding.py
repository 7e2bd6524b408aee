"""A category's images and masks at input size, decoded side by side."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.geometry import Geometry, Mask, Placement
from apc_bench.datasets.images import PIXELS_MAX, read_photo
from apc_bench.datasets.masks import read_masks
from apc_bench.datasets.no_photos import few_colours, no_photos
from apc_bench.datasets.samples import Category, Sample
from apc_bench.errors import DataError

NOTHING = "every pixel is the same: there is nothing to see"


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A category's images at input size, in the order of its samples.

    images (n, 3, s, s) uint8 RGB, masks (n, s, s) bool, placement (n, 6) int32 (the fields of
    Placement), mask_state (n,) of 'normal', 'present', 'none' and 'emptied'.
    """

    images: NDArray[np.uint8]
    masks: Mask
    placement: NDArray[np.int32]
    mask_state: NDArray[np.str_]


def decode_into(
    category: Category, geometry: Geometry, images: NDArray[np.uint8], masks: Mask, *, threads: int
) -> tuple[NDArray[np.int32], NDArray[np.str_], dict[str, str]]:
    """Decodes every sample into the rows of `images` (n, 3, s, s) and `masks` (n, s, s), which may
    be memory-mapped.

    Returns the placements, the mask states, and {file: reason} for every file that could not be
    read.
    """
    placement = np.zeros((len(category.samples), 6), np.int32)
    state = np.full(len(category.samples), "normal", "<U8")
    bad: dict[str, str] = {}
    few: dict[str, bool] = {}

    def decode(row: int) -> None:
        sample = category.samples[row]
        try:
            image, few[sample.image] = _read(category, sample)
            place, state[row] = _fit(category, sample, image, geometry, images[row], masks[row])
            placement[row] = astuple(place)
        except DataError as error:
            bad[sample.image] = str(error)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, range(len(category.samples))))
    for name, why in no_photos(few).items():
        bad.setdefault(name, f"{category.folder / name}: {why}")
    return placement, state, dict(sorted(bad.items()))


def _read(category: Category, sample: Sample) -> tuple[Image.Image, bool]:
    """The image as it is, and whether it has few colours; unless it or a mask of it has no clear
    meaning, or it shows nothing.
    """
    folder, encoding = category.folder, category.encoding
    for name in (sample.image, *sample.masks):
        if name in encoding.refused:
            raise DataError(f"{folder / name}: {encoding.refused[name]}")
    image = read_photo(folder / sample.image, encoding.bits)
    colours = few_colours(image)
    if colours == 1:
        raise DataError(f"{folder / sample.image}: {NOTHING}")
    return image, colours is not None


def _fit(
    category: Category,
    sample: Sample,
    image: Image.Image,
    geometry: Geometry,
    image_row: NDArray[np.uint8],
    mask_row: Mask,
) -> tuple[Placement, str]:
    folder, encoding = category.folder, category.encoding
    height, width = image.height, image.width
    place = geometry.place(height, width)
    if place.resized_height * place.resized_width > PIXELS_MAX:
        raise DataError(
            f"{folder / sample.image}: {width} × {height} pixels are too narrow for"
            f" '{geometry.resize}'; use --resize letterbox"
        )
    image_row[:] = geometry.apply_photo(image).transpose(2, 0, 1)
    mask_row[:] = False
    if not sample.masks:
        return place, "none" if sample.anomalous else "normal"
    mask = read_masks(folder, sample.image, sample.masks, encoding, size=(height, width))
    mask_row[:] = geometry.apply_mask(mask)
    return place, "present" if mask_row.any() else "emptied"
