"""From files to arrays. Pixels are decoded here and nowhere else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from apc_bench.datasets.geometry import RGB, Mask
from apc_bench.datasets.tree import FORMATS
from apc_bench.errors import DataError

DECODE_VERSION = 2
"""Raised whenever the same file would give other pixels, and RESULT_VERSION with it where scores
change.
"""

PIXELS_MAX = 100_000_000
"""Images larger than this are refused before they are decoded: a small file can otherwise ask for
any amount of memory.
"""

# Checked here instead: Pillow only warns from 89 to 179 million pixels, and warnings cannot be
# silenced in one thread alone.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 0x0112

T = TypeVar("T")


def read_image(path: Path) -> RGB:
    """Decodes an image file to (h, w, 3) uint8. 16-bit values are rescaled, not clipped; alpha is
    composed on black; EXIF rotation is not applied, so that image and mask agree. Raises DataError
    that names the file and says why.
    """
    return np.asarray(_load(path, _to_rgb))


def read_photo(path: Path) -> tuple[RGB, str, bool]:
    """As `read_image`, with the mode of the file in Pillow's words, and whether its EXIF data asks
    to turn it.
    """

    def convert(image: Image.Image) -> tuple[RGB, str, bool]:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        return np.asarray(_to_rgb(image)), image.mode, turned

    return _load(path, convert)


def read_levels(path: Path) -> NDArray[np.uint8]:
    """Decodes a mask file to (h, w) uint8 as it is before it becomes binary. Raises DataError that
    names the file and says why.
    """
    return _load(path, _levels)


def read_mask(path: Path) -> Mask:
    """Decodes a mask file to (h, w) bool: 128 or more of 255 is anomalous; in a mask of small label
    ids, any id above 0 (docs/method.md section 5).

    Raises DataError that names the file and says why.
    """
    return anomalous_pixels(read_levels(path))


def read_masks(paths: Sequence[Path], size: tuple[int, int] | None = None) -> Mask:
    """The masks of one image, united: (h, w) bool, anomalous where any of them is. `size`: height
    and width of the image; None for those of the first mask.

    Raises DataError that names a file that `read_mask` refuses, or of another size.
    """
    masks = []
    for path in paths:
        masks.append(read_mask(path))
        height, width = size or masks[0].shape
        if masks[-1].shape != (height, width):
            raise DataError(
                f"{path}: mask of {masks[-1].shape[1]} × {masks[-1].shape[0]} pixels for an image"
                f" of {width} × {height}"
            )
    united: Mask = np.logical_or.reduce(masks)
    return united


def anomalous_pixels(levels: NDArray[np.uint8]) -> Mask:
    """(h, w) uint8 as `read_levels` gives it -> (h, w) bool."""
    anomalous: Mask = levels >= (128 if levels.max(initial=0) >= 128 else 1)
    return anomalous


def _load(path: Path, convert: Callable[[Image.Image], T]) -> T:
    """Opens, checks and decodes a file; whatever is wrong with it becomes one DataError."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            _check(image)
            image.load()
            return convert(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        why = "not an image that can be read" if path.stat().st_size else "empty file"
        raise DataError(f"{path}: {why}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be decoded ({error.strerror or _reason(error)})") from None
    # Decoders raise what they like on bytes that are not what they claim to be.
    except Exception as error:
        raise DataError(f"{path}: cannot be decoded ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check(image: Image.Image) -> None:
    if image.width * image.height > PIXELS_MAX:
        raise DataError(f"{image.width} × {image.height} pixels are more than {PIXELS_MAX:,}")
    if getattr(image, "n_frames", 1) != 1:
        raise DataError("holds several frames; one image a file is needed")
    if image.mode == "F":
        raise DataError(
            "holds floating-point pixels, whose range cannot be known; save it with 8 or 16 bits"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise DataError(
                f"holds values from {values.min()} to {values.max()}; save it with 8 or 16 bits"
            )
        grey = np.rint(values / 257).astype(np.uint8)  # 65535 / 257 = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def _levels(image: Image.Image) -> NDArray[np.uint8]:
    """A mask's values (h, w) before binarisation, 255 for what is certainly anomalous.

    Palette indices are label ids, unless index 0 is no black: some programs write black and white
    as a palette in either order, and there the colours count.
    """
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * 255
    if image.mode == "L" or (image.mode == "P" and not any((image.getpalette() or [0, 0, 0])[:3])):
        return np.asarray(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0)
        if values.max(initial=0) < 256:
            return values.astype(np.uint8)
        if values.max() < 128 * 257:  # more than 8 bits and yet no mask in 16: label ids
            return (values > 0).astype(np.uint8) * 255
        return (values // 257).clip(0, 255).astype(np.uint8)
    brightest: NDArray[np.uint8] = np.asarray(image.convert("RGB")).max(axis=2)
    return brightest
