"""The pictures of one category's pages, each made once however often it is shown."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apc_bench.report import encode
from apc_bench.report.patches import Patch, crop_around
from apc_bench.report.photos import Photos

Key = tuple[str, str, Any]


@dataclass(slots=True)
class Pictures:
    """What is asked for gets a position; `made` gives the pictures at the end, so that a file is
    read once whatever is cut from it.
    """

    asked: dict[Key, int] = field(default_factory=dict)
    maps: dict[Key, NDArray[np.float32]] = field(default_factory=dict)

    def photo(self, image: str) -> int:
        """The image as the detector saw it."""
        return self._ask(("photo", image, None))

    def crop(self, image: str, patch: Patch) -> int:
        """A patch with what surrounds it, from the file's own pixels."""
        return self._ask(("crop", image, patch))

    def mask(self, image: str, anomalous: bool) -> int:
        """Its mask; an empty one for a normal image."""
        return self._ask(("mask", image, anomalous))

    def outline(self, image: str) -> int:
        """The outline of an anomalous image's mask, to lie over a map."""
        return self._ask(("outline", image, True))

    def map(self, trial: Any, image: str, scaled: NDArray[np.float32] | None) -> int | None:
        """A trial's scaled map of the image; None where it has none."""
        if scaled is None:
            return None
        key = ("map", image, trial)
        self.maps.setdefault(key, scaled)
        return self._ask(key)

    def _ask(self, key: Key) -> int:
        return self.asked.setdefault(key, len(self.asked))

    def made(self, photos: Photos) -> list[str]:
        """In the order of their positions: a data address, or words where there is no picture."""
        by_image: dict[str, list[Key]] = {}
        for key in self.asked:
            by_image.setdefault(key[1], []).append(key)
        found = {
            key: picture
            for keys in by_image.values()
            for key, picture in self._of_image(keys, photos).items()
        }
        return [found[key] for key in self.asked]

    def _of_image(self, keys: list[Key], photos: Photos) -> dict[Key, str]:
        kinds = {key[0]: key for key in keys}
        image = keys[0][1]
        original = photos.original(image) if kinds.keys() & {"photo", "crop"} else ""
        mask = photos.mask(image, anomalous=kinds["mask"][2]) if "mask" in kinds else ""
        found = {}
        for key in keys:
            kind, _, what = key
            if kind == "map":
                found[key] = encode.map_picture(self.maps[key])
            elif kind in ("mask", "outline"):
                picture = encode.mask_picture if kind == "mask" else encode.outline_picture
                found[key] = mask if isinstance(mask, str) else picture(mask)
            elif isinstance(original, str):
                found[key] = original
            else:
                found[key] = encode.photo(
                    photos.geometry.apply(original)
                    if kind == "photo"
                    else crop_around(what, original, photos.geometry)
                )
        return found
