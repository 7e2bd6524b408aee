"""Anomaly maps of a method that is not ours, as files: found, checked, and brought to
the input of the sweep.

MAPS/CATEGORY/test/TYPE/NAME.tiff (float, as MVTec's own evaluation reads them) or NAME.npy, of the
size of the original image or of the input; with `seed=N` folders between MAPS and CATEGORY where
every seed has maps of its own.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.tree import composed
from apc_bench.errors import DataError, listed
from apc_bench.files.hashing import file_sha256

ENDINGS = (".tiff", ".tif", ".npy")

AnomalyMaps = NDArray[np.float32]


def by_seed(root: Path) -> bool:
    """Whether every seed has maps of its own."""
    return bool(_seed_folders(root))


def _seed_folders(root: Path) -> list[Path]:
    return [path for path in root.glob("seed=*") if path.is_dir()]


def seed_folder(root: Path, seed: int) -> Path:
    """Where the maps of a seed are. Raises DataError where other seeds have folders of their own
    and this one has none.
    """
    names = sorted(path.name for path in _seed_folders(root))
    if not names:
        return root
    if f"seed={seed}" not in names:
        raise DataError(f"{root}: no maps of seed {seed} (it has {', '.join(names)})")
    return root / f"seed={seed}"


def categories_in(root: Path, known: Sequence[str]) -> list[str]:
    """The categories that have maps. Raises DataError where there is none, or maps lie both in
    folders of seeds and beside them.
    """
    seeds = _seed_folders(root)
    beside = [name for name in known if (root / name / "test").is_dir()]
    if seeds and beside:
        raise DataError(
            f"{root}: holds maps of {listed(beside)} both in {seeds[0].name} and beside it; keep"
            " one of the two"
        )
    mapped = [name for name in known if any((one / name / "test").is_dir() for one in seeds)]
    if not (mapped or beside):
        raise DataError(
            f"{root}: no maps in it; they belong in {root / known[0] / 'test'}/TYPE/NAME.tiff"
            f" (categories: {', '.join(known)})"
        )
    return mapped or beside


def unknown_categories(root: Path, known: Sequence[str]) -> list[str]:
    """Folders of maps that are of no category."""
    parents = _seed_folders(root) or [root]
    tests = [place for parent in parents for place in parent.glob("*/test") if place.is_dir()]
    return sorted({place.parent.name for place in tests} - set(known))


def sharing(images: Iterable[str]) -> list[str]:
    """The images that differ from another in their endings only: one map would stand for both."""
    places = defaultdict(list)
    for image in images:
        places[_without_ending(image)].append(image)
    return [image for together in places.values() if len(together) > 1 for image in together]


def _without_ending(image: str) -> str:
    return composed(str(Path(image).with_suffix("")))


class _MapFiles:
    """The files of maps below a category's folder, by the image's name without its ending."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def of(self, image: str) -> list[Path]:
        """Those that may hold an image's map: one, where all is well."""
        parent = Path(image).parent
        if parent not in self._listed:
            files = defaultdict(list)
            for path in sorted((self._folder / parent).glob("*")):
                if path.suffix.lower() in ENDINGS and path.is_file():
                    files[composed(path.stem)].append(path)
            self._listed[parent] = files
        return self._listed[parent].get(composed(Path(image).stem), [])


def read_maps(
    folder: Path, images: Sequence[str], sizes: Sequence[tuple[int, int]], geometry: Geometry
) -> tuple[AnomalyMaps, list[float], str]:
    """Maps (n, s, s) float32 at input size, the largest value of each as it was stored, and a
    digest of the files.

    `images`: relative to the category; `sizes`: (height, width) of the originals. Raises DataError
    in one line that names every map that is missing, stands in several files or pages, cannot be
    read, has another size than the original image and the input, or holds what is no finite number.
    """
    maps = np.empty((len(images), geometry.image_size, geometry.image_size), np.float32)
    largest: list[float] = []
    problems: dict[str, list[str]] = {}
    hashes = []
    files = _MapFiles(folder)
    for row, (image, size) in enumerate(zip(images, sizes, strict=True)):
        try:
            path = _only(files.of(image))
            values = _read(path)
            maps[row] = to_input(values, size, geometry)
        except _BadMap as error:
            problems.setdefault(error.kind, []).append(f"{image}{error.detail}")
            continue
        largest.append(float(values.max()))
        hashes.append(file_sha256(path))
    if problems:
        kinds = [f"{kind}: {len(names)} ({listed(names, 4)})" for kind, names in problems.items()]
        raise DataError(f"maps in {folder}: {'; '.join(kinds)}")
    return maps, largest, hashlib.sha256("".join(hashes).encode()).hexdigest()


def _only(files: Sequence[Path]) -> Path:
    if not files:
        raise _BadMap("missing")
    if len(files) > 1:
        raise _BadMap("in several files", f": {', '.join(path.name for path in files)}")
    return files[0]


class _BadMap(Exception):
    """What is wrong with one map."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(kind)


def _read(path: Path) -> AnomalyMaps:
    """One map (rows, columns) float32."""
    try:
        values = np.load(path, allow_pickle=False) if _is_numpy(path) else _tiff(path)
    except _BadMap:
        raise
    except Exception as error:  # decoders raise what they like
        raise _BadMap("cannot be read", f": {' '.join(str(error).split())[:80]}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        raise _BadMap("not of real numbers", f" ({getattr(values, 'dtype', 'an archive')})")
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        raise _BadMap("not one map of rows and columns", f" {values.shape}")
    if not np.isfinite(values).all():
        raise _BadMap("not finite")
    with np.errstate(over="ignore"):
        anomaly_map: AnomalyMaps = values.astype(np.float32)
    if not np.isfinite(anomaly_map).all():
        raise _BadMap("beyond the range of float32", f" ({np.abs(values).max():g})")
    return anomaly_map


def _is_numpy(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _tiff(path: Path) -> NDArray[Any]:
    with Image.open(path, formats=("TIFF",)) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            raise _BadMap("of several pages", f" ({pages})")
        if image.mode in ("P", "PA"):
            raise _BadMap("of colours, not of scores", f" (mode {image.mode})")
        return np.asarray(image)


def to_input(values: AnomalyMaps, size: tuple[int, int], geometry: Geometry) -> AnomalyMaps:
    """A map float32 of the original image's (height, width) -> (s, s) as the image itself was
    brought there, bilinear; one of the input's size stays as it is.

    Outside of the image stands the map's smallest value; no metric looks there. Raises an error
    that `read_maps` catches for a map of any other size.
    """
    side = geometry.image_size
    if values.shape == size:
        place = geometry.place(*size)
        resized = Image.fromarray(values).resize(
            (place.resized_width, place.resized_height), Image.Resampling.BILINEAR
        )
        canvas = Image.new("F", (side, side), float(values.min()))
        canvas.paste(resized, (place.left, place.top))
        return np.asarray(canvas)
    if values.shape == (side, side):
        return values
    raise _BadMap(
        "of another size",
        f" {values.shape[1]} × {values.shape[0]}, neither the image's {size[1]} × {size[0]} nor the"
        f" input's {side} × {side}",
    )
