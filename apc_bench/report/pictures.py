"""The pictures that a page holds itself: photos, masks, maps and crops of patches, each made once
however often it is shown, as a data address. Small on purpose: a page has thousands.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from apc_bench.datasets.encoding import BEFORE, PLAIN, Encoding
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.datasets.masks import read_masks
from apc_bench.errors import ApcError
from apc_bench.report.scaled_maps import COLOURS, HIGH, LOW
from apc_bench.results.aggregate import Results
from apc_bench.results.run_reader import RunReader

SIDE_MAX = 176
"""Pixels of a photo or mask in a page."""

CELLS_MAX = 64
"""Cells a side of a map in a page; a finer map keeps the largest value of what falls together, so
that no small defect vanishes.
"""

LEVELS = 64
"""Colours of a map."""

CELLS = 5
"""Cells of the detector's grid a side of a crop; the patch is the middle one."""

CROP_SIDE = 112

NO_MASK = "no mask"

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Photos:
    """The images and masks of a category, or a few words where there is none. `folder`: the
    category's, None where it is not at hand. `masks`: image -> its masks, relative to the folder
    like the image. `encoding`: how the files were understood.
    """

    folder: Path | None
    geometry: Geometry
    masks: Mapping[str, tuple[str, ...]]
    encoding: Encoding = PLAIN

    def original(self, image: str) -> RGB | str:
        """(h, w, 3) uint8 as it is on the disk, or why there is no picture."""
        if self.folder is None:
            return "image not at hand"
        try:
            return read_image(self.folder / image, self.encoding.bits)
        except (ApcError, OSError):
            return "image cannot be read"

    def image(self, image: str) -> RGB | str:
        """(s, s, 3) uint8 as the detector saw it, or why there is no picture."""
        original = self.original(image)
        return original if isinstance(original, str) else self.geometry.apply(original)

    def mask(self, image: str, *, anomalous: bool) -> Mask | str:
        """(s, s) bool, or why there is no mask. A normal image's is empty."""
        if not anomalous:
            return np.zeros((self.geometry.image_size, self.geometry.image_size), bool)
        original = self.original_mask(image)
        return original if isinstance(original, str) else self.geometry.apply_mask(original)

    def original_mask(self, image: str) -> Mask | str:
        """(h, w) bool, all masks of an image united as they are on the disk, or why there is
        none.
        """
        names = self.masks.get(image)
        if not names:
            return NO_MASK
        if self.folder is None:
            return "mask not at hand"
        try:
            return read_masks(self.folder, image, names, self.encoding)
        except (ApcError, OSError):
            return "mask cannot be read"


def photos_of(results: Results, run: RunReader, category: str, data: Path | None) -> Photos:
    """A category's photos. `data`: the dataset's folder, None where it is not at hand. Masks are
    those of the first split that can be read, for they are the same in every seed.
    """
    masks: Mapping[str, tuple[str, ...]] = {}
    for seed in results.seeds:
        try:
            masks = run.split(category, seed).masks
            break
        except ApcError:
            continue
    geometry = Geometry(
        int(results.settings["image_size"]),
        results.settings["resize"],
        results.settings.get("interpolation", "bicubic"),
    )
    recorded = results.info.encodings.get(category)
    encoding = BEFORE if "encodings" in results.info.absent else PLAIN
    if recorded:
        encoding = Encoding.from_json(recorded)
    return Photos(None if data is None else data / category, geometry, masks, encoding)


@dataclass(frozen=True, slots=True)
class Patch:
    """A cell of the grid (rows, columns) that covers the detector's input."""

    row: int
    column: int
    grid: tuple[int, int]

    def box(self, cells: int = 1) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of it and its neighbours, `cells` a side, as shares of the
        input's sides; may reach beyond.
        """
        reach = (cells - 1) / 2
        rows, columns = self.grid
        return (
            (self.column - reach) / columns,
            (self.row - reach) / rows,
            (self.column + 1 + reach) / columns,
            (self.row + 1 + reach) / rows,
        )


def crop_around(patch: Patch, original: RGB, geometry: Geometry) -> RGB:
    """(h, w, 3) uint8 as on the disk -> (CROP_SIDE, CROP_SIDE, 3): CELLS × CELLS cells around the
    patch, black beyond the image.
    """
    height, width = original.shape[:2]
    place = geometry.place(height, width)
    across, down = width / place.resized_width, height / place.resized_height
    left, top, right, bottom = (share * geometry.image_size for share in patch.box(CELLS))
    edges = (
        round((left - place.left) * across),
        round((top - place.top) * down),
        round((right - place.left) * across),
        round((bottom - place.top) * down),
    )
    part = Image.fromarray(original).crop(edges)
    return np.asarray(part.resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BICUBIC))


def photo_address(picture: RGB) -> str:
    """(h, w, 3) uint8 as JPEG, the longer side at most SIDE_MAX pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE_MAX, SIDE_MAX), Image.Resampling.BICUBIC)
    return _address(image, "jpeg", quality=78, optimize=True)


def map_address(scaled: NDArray[np.float32]) -> str:
    """A scaled map (rows, columns) in the report's colours, a pixel a cell; the browser draws it
    larger, smoothly. Its levels reach from its own lowest value to its highest, and its palette has
    their colours on the shared scale: with the palette of `colour_bar` in its place the same levels
    show the map in its own contrast, which page.js does.
    """
    share = np.clip((_coarser(scaled) - LOW) / (HIGH - LOW), 0, 1)
    low, high = float(share.min()), float(share.max())
    level = (share - low) / (high - low or 1) * (LEVELS - 1)
    image = Image.fromarray(np.rint(level).astype(np.uint8))
    palette = colormaps[COLOURS](np.linspace(low, high, LEVELS))[:, :3] * 255
    image.putpalette(palette.round().astype(np.uint8).tobytes())
    return _address(image, "png", bits=8)


def _coarser(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most CELLS_MAX cells a side, each the largest of the values in it."""
    for axis in (0, 1):
        step = -(-values.shape[axis] // CELLS_MAX)
        if step > 1:
            values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], step), axis=axis)
    return values


def colour_bar() -> str:
    """The colours from LOW to HIGH, left to right."""
    return map_address(np.linspace(LOW, HIGH, CELLS_MAX, dtype=np.float32)[None])


def mask_address(mask: Mask) -> str:
    """(s, s) bool: white is anomalous."""
    return _address(_small(mask), "png")


def outline_address(mask: Mask) -> str:
    """The outline of an (s, s) bool mask, white on nothing, to lie over a map."""
    inside = np.asarray(_small(mask)) > 0
    edge = inside & ~binary_erosion(inside, border_value=0)
    image = Image.fromarray(edge.astype(np.uint8))
    image.putpalette(bytes((0, 0, 0, 255, 255, 255)))
    return _address(image, "png", bits=1, transparency=0)


def _small(mask: Mask) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.thumbnail((SIDE_MAX, SIDE_MAX), Image.Resampling.NEAREST)
    return image.convert("1", dither=Image.Dither.NONE)


def _address(image: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


class _Request(NamedTuple):
    """A picture that a page asks for: what it shows of an image, and the detail that this needs."""

    kind: str
    image: str
    detail: Any


@dataclass(slots=True)
class PicturePool:
    """What is asked for gets a position; `made` gives the pictures at the end, so that a file is
    read once whatever is cut from it.
    """

    positions: dict[_Request, int] = field(default_factory=dict)
    maps: dict[_Request, NDArray[np.float32]] = field(default_factory=dict)

    def photo(self, image: str) -> int:
        """The image as the detector saw it."""
        return self._position(_Request("photo", image, None))

    def crop(self, image: str, patch: Patch) -> int:
        """A patch with what surrounds it, from the file's own pixels."""
        return self._position(_Request("crop", image, patch))

    def mask(self, image: str, anomalous: bool) -> int:
        """Its mask; an empty one for a normal image."""
        return self._position(_Request("mask", image, anomalous))

    def outline(self, image: str) -> int:
        """The outline of an anomalous image's mask, to lie over a map."""
        return self._position(_Request("outline", image, True))

    def map(self, trial: Any, image: str, scaled: NDArray[np.float32] | None) -> int | None:
        """A trial's scaled map (rows, columns) of the image; None where it has none."""
        if scaled is None:
            return None
        request = _Request("map", image, trial)
        self.maps.setdefault(request, scaled)
        return self._position(request)

    def _position(self, request: _Request) -> int:
        return self.positions.setdefault(request, len(self.positions))

    def made(self, photos: Photos) -> list[str]:
        """In the order of their positions: a data address, or words where there is no picture."""
        by_image: dict[str, list[_Request]] = {}
        for request in self.positions:
            by_image.setdefault(request.image, []).append(request)
        made: dict[_Request, str] = {}
        for image, requests in by_image.items():
            made.update(self._of_image(image, requests, photos))
        return [made[request] for request in self.positions]

    def _of_image(
        self, image: str, requests: Sequence[_Request], photos: Photos
    ) -> Iterator[tuple[_Request, str]]:
        """Each picture of one image, whose file and mask are read at most once."""
        details = {request.kind: request.detail for request in requests}
        original = photos.original(image) if details.keys() & {"photo", "crop"} else ""
        mask = photos.mask(image, anomalous=details["mask"]) if "mask" in details else ""
        for request in requests:
            kind = request.kind
            if kind == "map":
                yield request, map_address(self.maps[request])
            elif kind in ("mask", "outline"):
                encoded = mask_address if kind == "mask" else outline_address
                yield request, mask if isinstance(mask, str) else encoded(mask)
            elif isinstance(original, str):
                yield request, original
            elif kind == "photo":
                yield request, photo_address(photos.geometry.apply(original))
            else:
                crop = crop_around(request.detail, original, photos.geometry)
                yield request, photo_address(crop)
