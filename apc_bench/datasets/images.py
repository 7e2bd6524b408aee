"""From image files to arrays. Files are opened and photos decoded here and nowhere else; what masks
mean is masks.py's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from apc_bench.datasets.geometry import RGB
from apc_bench.datasets.tree import FORMATS
from apc_bench.errors import DataError

PIXELS_MAX = 100_000_000
"""Images larger than this are refused before they are decoded: a small file can otherwise ask for
any amount of memory.
"""

# Checked here instead: Pillow only warns from 89 to 179 million pixels, and warnings cannot be
# silenced in one thread alone.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 0x0112

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what shows the picture upright."""

SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap the sides."""

PREVIEW = 128

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """A photo, perhaps smaller than it is, as Pillow's RGB image. `size`: height and width of the
    whole, upright. `mode`: of the file, in Pillow's words.
    """

    image: Image.Image
    size: tuple[int, int]
    mode: str


@dataclass(frozen=True, slots=True)
class Glance:
    """What an image file says of its pixels. `size`: height and width, upright. `orientation`:
    EXIF's, 1 to 8. `largest`: its largest value where it has 16 bits a pixel and one channel.
    `largest_colour`: its largest value, of 255, where it has 16 bits a channel and several, which
    Pillow cuts to 8. `see_through`: whether its alpha is the same everywhere, and not opaque.
    """

    size: tuple[int, int]
    orientation: int = 1
    largest: int | None = None
    largest_colour: int | None = None
    see_through: bool = False


def read_image(path: Path, bits: int = 16) -> RGB:
    """Decodes an image file to (h, w, 3) uint8, turned as its EXIF data asks. Values of one channel
    of 16 bits are scaled from `bits` to 8, alpha is composed on black unless it is the same
    everywhere. Raises DataError that names the file and says why.
    """
    return np.asarray(read_photo(path, bits))


def read_photo(path: Path, bits: int = 16) -> Image.Image:
    """As `read_image`, as Pillow's RGB image."""
    return opened(path, lambda image: upright(image, _to_rgb(image, bits)))


def read_preview(path: Path, bits: int = 16) -> Preview:
    """As `read_image`, but at a fraction of the size where the format can do that faster (JPEG); at
    least PREVIEW pixels a side remain. Every byte is decoded all the same.
    """

    def convert(image: Image.Image) -> Preview:
        turn, mode = orientation(image), image.mode
        size = _upright_size(image, turn)
        image.draft(None, (PREVIEW, PREVIEW))
        image.load()
        return Preview(turned(_to_rgb(image, bits), turn), size, mode)

    return opened(path, convert, load=False)


def glance(path: Path) -> Glance:
    """What a file says of its pixels; decodes only those that need it. Raises DataError that names
    the file and says why.
    """
    return opened(path, _glance, load=False)


def opened(path: Path, convert: Callable[[Image.Image], T], *, load: bool = True) -> T:
    """What `convert` makes of an image file that was opened, checked and, with `load`, decoded.
    Whatever is wrong with it becomes one DataError that names it.
    """
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            _check(image)
            if load:
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


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of an open file, 1 (as it is) where it has none. Pillow itself turns TIFF
    files.
    """
    if image.format == "TIFF" or "exif" not in image.info:
        return 1
    asked = image.getexif().get(_ORIENTATION, 1)
    return int(asked) if asked in _TURNS else 1


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Height and width of an open file as EXIF's orientation turns it."""
    height, width = image.height, image.width
    return (width, height) if orientation in SIDEWAYS else (height, width)


def upright(file: Image.Image, pixels: Image.Image) -> Image.Image:
    """A file's pixels as its EXIF data turns them."""
    return turned(pixels, orientation(file))


def turned(pixels: Image.Image, orientation: int) -> Image.Image:
    """Pixels as they are stored -> as EXIF's orientation (1 to 8) turns them."""
    return pixels.transpose(_TURNS[orientation]) if orientation in _TURNS else pixels


def has_alpha(image: Image.Image) -> bool:
    """Whether an open file says how opaque its pixels are."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _alpha_range(image: Image.Image) -> tuple[int, int]:
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    return int(alpha.min(initial=255)), int(alpha.max(initial=0))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check(image: Image.Image) -> None:
    if image.width * image.height > PIXELS_MAX:
        raise DataError(f"{image.width} × {image.height} pixels are more than {PIXELS_MAX:,}")
    # The first picture of a phone's MPO is its photo; the others are previews and depth maps.
    if getattr(image, "n_frames", 1) != 1 and image.format != "MPO":
        raise DataError("holds several frames; one image a file is needed")
    if image.mode == "F":
        raise DataError(
            "holds floating-point pixels, whose range cannot be known; save it with 8 or 16 bits"
        )


def _glance(image: Image.Image) -> Glance:
    turn = orientation(image)
    size = _upright_size(image, turn)
    if image.mode.startswith("I"):
        return Glance(size, turn, largest=int(np.asarray(image).max(initial=0)))
    largest_colour, see_through = None, False
    # Asked first: a file's tiles are gone once it is decoded.
    if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
        largest_colour = int(np.asarray(image.convert("RGB")).max(initial=0))
    if has_alpha(image):
        low, high = _alpha_range(image)
        see_through = low == high != 255
    return Glance(size, turn, largest_colour=largest_colour, see_through=see_through)


def _to_rgb(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        low, high = values.min(initial=0), values.max(initial=0)
        if low < 0 or high > 65535:
            raise DataError(f"holds values from {low} to {high}; save it with 8 or 16 bits")
        if high >= 2**bits:
            raise DataError(f"holds values up to {high}, which {bits} bits do not")
        # 65535 / 257 = 255
        grey = np.rint(values / ((2**bits - 1) / 255)).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if has_alpha(image):
        low, high = _alpha_range(image)
        if low < high:
            image = image.convert("RGBA")
            black = Image.new("RGBA", image.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, image)
    return image.convert("RGB")
