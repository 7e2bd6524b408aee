"""The images and masks of a category, where the dataset's folder is at hand; a few words where it
is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apc_bench.datasets.images import Geometry, read_image, read_mask
from apc_bench.errors import ApcError

RGB = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Photos:
    """`folder`: the category's, None where it is not at hand. `masks`: image -> mask, relative to
    the folder like the image, or None.
    """

    folder: Path | None
    geometry: Geometry
    masks: Mapping[str, str | None]

    def original(self, image: str) -> RGB | str:
        """(h, w, 3) uint8 as it is on the disk, or why there is no picture."""
        if self.folder is None:
            return "image not at hand"
        try:
            return read_image(self.folder / image)
        except (ApcError, OSError):
            return "image cannot be read"

    def image(self, image: str) -> RGB | str:
        """(s, s, 3) uint8 as the detector saw it, or why there is no picture."""
        found = self.original(image)
        return found if isinstance(found, str) else self.geometry.apply(found)

    def mask(self, image: str, *, anomalous: bool) -> NDArray[np.bool_] | str:
        """(s, s) bool, or why there is no mask. A normal image's is empty."""
        size = self.geometry.image_size
        name = self.masks.get(image)
        if not anomalous:
            return np.zeros((size, size), bool)
        if name is None:
            return "no mask"
        if self.folder is None:
            return "mask not at hand"
        try:
            return self.geometry.apply_mask(read_mask(self.folder / name))
        except (ApcError, OSError):
            return "mask cannot be read"
