"""From files to arrays: decoding, resizing, masks. Pixels are decoded here and nowhere else."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from apc_bench.datasets.layouts import Category, Sample
from apc_bench.errors import DataError

DECODE_VERSION = 1
"""Raised whenever the same file would give other pixels."""

PIXELS_MAX = 100_000_000
"""Images larger than this are refused before they are decoded: a small file can otherwise ask for any amount of memory."""

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an original image of `height` × `width` lies in the input: resized, then cropped (negative top, left) or padded."""

    height: int
    width: int
    resized_height: int
    resized_width: int
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """The resize to a square input of `image_size` pixels (METHOD.md section 2, "Input").

    square: both sides to `image_size`. letterbox: the longer side to it, black borders. crop: the shorter side to
    `image_size` × 256/224, then the centre, as the reference code does.
    """

    image_size: int
    resize: Literal["square", "letterbox", "crop"]

    def place(self, height: int, width: int) -> Placement:
        """Where an image of this size will lie."""
        size = self.image_size
        if self.resize == "square":
            return Placement(height, width, size, size, 0, 0)
        short, long = min(height, width), max(height, width)
        scale = size / long if self.resize == "letterbox" else round(size * 256 / 224) / short
        tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
        return Placement(height, width, tall, wide, (size - tall) // 2, (size - wide) // 2)

    def apply(self, image: RGB) -> RGB:
        """(h, w, 3) uint8 -> (image_size, image_size, 3) uint8, bicubic."""
        return self._fit(Image.fromarray(image), Image.Resampling.BICUBIC)

    def apply_mask(self, mask: Mask) -> Mask:
        """(h, w) bool -> (image_size, image_size) bool, nearest neighbour; outside the image nothing is anomalous."""
        return self._fit(Image.fromarray(mask.astype(np.uint8) * 255), Image.Resampling.NEAREST) > 0

    def _fit(self, image: Image.Image, how: Image.Resampling) -> NDArray[np.uint8]:
        place = self.place(image.height, image.width)
        resized = image.resize((place.resized_width, place.resized_height), how)
        canvas = Image.new(image.mode, (self.image_size, self.image_size))
        canvas.paste(resized, (place.left, place.top))
        return np.asarray(canvas)


def read_image(path: Path) -> RGB:
    """Decodes an image file to (h, w, 3) uint8. 16-bit values are rescaled, not clipped; alpha is composed on black; EXIF rotation is not
    applied, so that image and mask agree. Raises DataError that names the file and says why."""
    return np.asarray(_to_rgb(_load(path), path))


def read_mask(path: Path) -> Mask:
    """Decodes a mask file to (h, w) bool: 128 or more of 255 is anomalous; in a mask of small label ids, any id above 0 (METHOD.md section 5)."""
    values = _levels(_load(path))
    return values >= 128 if values.max(initial=0) >= 128 else values > 0


def _load(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > PIXELS_MAX:
                    raise DataError(f"{path}: {image.width} × {image.height} pixels are more than {PIXELS_MAX:,}")
                image.load()
                return image.copy() if getattr(image, "n_frames", 1) == 1 else _refuse_frames(path)
    except DataError:
        raise
    except UnidentifiedImageError:
        size = path.stat().st_size
        raise DataError(f"{path}: {'empty file' if not size else 'not an image that can be read'}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: cannot be decoded ({' '.join(str(error).split())[:160]})") from None


def _refuse_frames(path: Path) -> Image.Image:
    raise DataError(f"{path}: holds several frames; one image a file is needed")


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise DataError(f"{path}: holds floating-point pixels, whose range cannot be known; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise DataError(f"{path}: holds values from {values.min()} to {values.max()}; save it with 8 or 16 bits")
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")  # 65535 / 257 = 255
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")


def _levels(image: Image.Image) -> NDArray[np.uint8]:
    """A mask's values before binarisation: palette indices as they are, 16-bit rescaled only where they exceed 8 bits."""
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * 255
    if image.mode in ("L", "P"):
        return np.asarray(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        return (values if values.max(initial=0) < 256 else values // 257).clip(0, 255).astype(np.uint8)
    return np.asarray(image.convert("RGB")).max(axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A category's images at input size, in the order of its samples.

    images (n, 3, s, s) uint8 RGB, masks (n, s, s) bool, placement (n, 6) int32 (the fields of Placement), mask_state (n,) of
    'normal', 'present', 'none' and 'emptied'.
    """

    images: NDArray[np.uint8]
    masks: Mask
    placement: NDArray[np.int32]
    mask_state: NDArray[np.str_]


def decode_into(
    category: Category, geometry: Geometry, images: NDArray[np.uint8], masks: Mask, *, threads: int
) -> tuple[NDArray[np.int32], NDArray[np.str_], dict[str, str]]:
    """Decodes every sample into the rows of `images` (n, 3, s, s) and `masks` (n, s, s), which may be memory-mapped.

    Returns the placements, the mask states, and {file: reason} for every file that could not be read.
    """
    placement = np.zeros((len(category.samples), 6), np.int32)
    state = np.full(len(category.samples), "normal", "<U8")
    bad: dict[str, str] = {}

    def one(row: int) -> None:
        sample = category.samples[row]
        try:
            place, state[row] = _decode(category.folder, sample, geometry, images[row], masks[row])
            placement[row] = (place.height, place.width, place.resized_height, place.resized_width, place.top, place.left)
        except DataError as error:
            bad[sample.image] = str(error)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(category.samples))))
    return placement, state, dict(sorted(bad.items()))


def _decode(folder: Path, sample: Sample, geometry: Geometry, image_row: NDArray[np.uint8], mask_row: Mask) -> tuple[Placement, str]:
    image = read_image(folder / sample.image)
    height, width = image.shape[:2]
    image_row[:] = geometry.apply(image).transpose(2, 0, 1)
    mask_row[:] = False
    place = geometry.place(height, width)
    if sample.mask is None:
        return place, "none" if sample.anomalous else "normal"
    mask = read_mask(folder / sample.mask)
    if mask.shape != (height, width):
        raise DataError(f"{folder / sample.mask}: mask of {mask.shape[1]} × {mask.shape[0]} pixels for an image of {width} × {height}")
    mask_row[:] = geometry.apply_mask(mask)
    return place, "present" if mask_row.any() else "emptied"
