"""What a mask file holds, channel by channel, before anybody says what it means."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.images import has_alpha, orientation


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A mask file: `colours` (h, w) uint16 or (h, w, 3) uint8, `alpha` (h, w) uint8 if it has one.
    `plain`: black and white or grey of 8 bits, and nothing else.
    """

    colours: NDArray[np.uint16] | NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    plain: bool
    orientation: int

    def levels(self) -> NDArray[np.uint16]:
        """(h, w): the brightest channel."""
        return brightest(self.colours)


def brightest(colours: NDArray[np.uint16] | NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(h, w) or (h, w, channels) -> (h, w): the brightest channel."""
    most = colours.max(axis=2) if colours.ndim == 3 else colours
    return most.astype(np.uint16)


def planes_of(image: Image.Image) -> Planes:
    """The planes of an open, decoded file."""
    turn = orientation(image)
    if image.mode == "1":
        return Planes(np.asarray(image).astype(np.uint16) * 255, None, True, turn)
    if image.mode == "L" and not has_alpha(image):
        return Planes(np.asarray(image).astype(np.uint16), None, True, turn)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Planes(values.astype(np.uint16), None, False, turn)
    if image.mode == "P" and _alike_on_screen(image):
        return Planes(np.asarray(image).astype(np.uint16), None, False, turn)
    if not has_alpha(image):
        return Planes(np.asarray(image.convert("RGB")), None, image.mode == "RGB", turn)
    pixels = np.asarray(image.convert("RGBA"))
    return Planes(pixels[..., :3], pixels[..., 3], False, turn)


def _alike_on_screen(image: Image.Image) -> bool:
    """Whether two colours of a palette that are used look the same, so that the numbers count."""
    if has_alpha(image):
        return False
    palette = np.array(image.getpalette() or [0] * 768).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    return len(np.unique(palette[used], axis=0)) < len(used)
