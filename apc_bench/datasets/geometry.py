"""Where an image lies in the square input of a detector: resized, then cropped or padded."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.settings.sweep import Sweep

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an original image of `height` × `width` lies in the input: resized, then cropped
    (negative top, left) or padded.
    """

    height: int
    width: int
    resized_height: int
    resized_width: int
    top: int
    left: int


Resize = Literal["square", "letterbox", "crop"]
"""How an image becomes the square input (Geometry)."""

Interpolation = Literal["bicubic", "bilinear"]
"""Pillow's filter of the resize; both average over all pixels that make one where they shrink."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The resize to a square input of `image_size` pixels (docs/method.md section 2, "Input").

    square: both sides to `image_size`. letterbox: the longer side to it, black borders. crop: the
    shorter side to `image_size` × 256/224, then the centre, rounded as the reference code's
    torchvision does, which resizes with the bilinear filter.
    """

    image_size: int
    resize: Resize
    interpolation: Interpolation = "bicubic"

    @classmethod
    def of(cls, sweep: Sweep) -> "Geometry":
        """A sweep's."""
        return cls(sweep.image_size, sweep.resize, sweep.interpolation)

    def place(self, height: int, width: int) -> Placement:
        """Where an image of this size will lie."""
        size = self.image_size
        if self.resize == "square":
            return Placement(height, width, size, size, 0, 0)
        if self.resize == "letterbox":
            scale = size / max(height, width)
            tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
            return Placement(height, width, tall, wide, (size - tall) // 2, (size - wide) // 2)
        short, shorter = min(height, width), round(size * 256 / 224)
        tall, wide = shorter * height // short, shorter * width // short
        top, left = -round((tall - size) / 2), -round((wide - size) / 2)
        return Placement(height, width, tall, wide, top, left)

    def apply(self, image: RGB) -> RGB:
        """(h, w, 3) uint8 -> (image_size, image_size, 3) uint8."""
        return self.apply_photo(Image.fromarray(image))

    def apply_photo(self, photo: Image.Image) -> RGB:
        """As `apply`, of Pillow's RGB image."""
        return self._fit(photo, Image.Resampling[self.interpolation.upper()])

    def apply_mask(self, mask: Mask) -> Mask:
        """(h, w) bool -> (image_size, image_size) bool, nearest neighbour; outside the image
        nothing is anomalous.
        """
        levels = Image.fromarray(mask.astype(np.uint8) * 255)
        fitted: Mask = self._fit(levels, Image.Resampling.NEAREST) > 0
        return fitted

    def _fit(self, image: Image.Image, how: Image.Resampling) -> NDArray[np.uint8]:
        place = self.place(image.height, image.width)
        resized = image.resize((place.resized_width, place.resized_height), how)
        canvas = Image.new(image.mode, (self.image_size, self.image_size))
        canvas.paste(resized, (place.left, place.top))
        return np.asarray(canvas)
