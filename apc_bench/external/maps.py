"""Anomaly maps and scores of a method that is not ours, as files: found, checked, and brought to
the input of the sweep.

MAPS/CATEGORY/test/TYPE/NAME.tiff (float, as MVTec's own evaluation reads them) or NAME.npy, of the
size of the original image or of the input; with `seed=N` folders between MAPS and CATEGORY where
every seed has maps of its own. Scores, where they are not the largest value of the map, are a CSV
file.
"""

import csv
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.images import Geometry
from apc_bench.errors import DataError, listed
from apc_bench.hashing import file_sha256

ENDINGS = (".tiff", ".tif", ".npy")
IMAGE, SCORE = ("image", "image_path", "path"), ("score", "anomaly_score", "pred_score")
CALIBRATION = "calibration"

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """(category, image) -> score of the images to test, and of normal images that calibrate a
    threshold: training images that the method did not learn from.
    """

    test: Mapping[tuple[str, str], float]
    calibration: Mapping[tuple[str, str], float]


def by_seed(root: Path) -> bool:
    """Whether every seed has maps of its own."""
    return any(path.is_dir() for path in root.glob("seed=*"))


def seed_folder(root: Path, seed: int) -> Path:
    """Where the maps of a seed are. Raises DataError where other seeds have folders of their own
    and this one has none.
    """
    folders = sorted(path.name for path in root.glob("seed=*") if path.is_dir())
    if not folders:
        return root
    if f"seed={seed}" not in folders:
        raise DataError(f"{root}: no maps of seed {seed} (it has {listed(folders)})")
    return root / f"seed={seed}"


def categories_in(root: Path, known: Sequence[str]) -> list[str]:
    """The categories that have maps. Raises DataError where there is none."""
    folders = [root, *(path for path in root.glob("seed=*") if path.is_dir())]
    found = [name for name in known if any((folder / name / "test").is_dir() for folder in folders)]
    if not found:
        raise DataError(
            f"{root}: no maps in it; they belong in {root / known[0] / 'test'}/TYPE/NAME.tiff"
            f" (categories: {listed(known)})"
        )
    return found


def map_file(folder: Path, image: str) -> Path | None:
    """The file that holds an image's map: its name with another ending."""
    places = (folder / Path(image).with_suffix(ending) for ending in ENDINGS)
    return next((place for place in places if place.is_file()), None)


def read_maps(
    folder: Path, images: Sequence[str], sizes: Sequence[tuple[int, int]], geometry: Geometry
) -> tuple[Map, list[float], str]:
    """Maps (n, s, s) at input size, the largest value of each as it was stored, and a digest of the
    files.

    `images`: relative to the category; `sizes`: (height, width) of the originals. Raises DataError
    in one line that names every map that is missing, cannot be read, has another size than the
    original image and the input, or holds what is no finite number.
    """
    maps = np.empty((len(images), geometry.image_size, geometry.image_size), np.float32)
    largest: list[float] = []
    problems: dict[str, list[str]] = {}
    hashes = []
    for row, (image, size) in enumerate(zip(images, sizes, strict=True)):
        path = map_file(folder, image)
        if path is None:
            problems.setdefault("missing", []).append(image)
            continue
        try:
            values = _read(path)
            maps[row] = to_input(values, size, geometry)
        except _Wrong as wrong:
            problems.setdefault(wrong.kind, []).append(f"{image}{wrong.detail}")
            continue
        largest.append(float(values.max()))
        hashes.append(file_sha256(path))
    if problems:
        said = "; ".join(
            f"{kind}: {len(names)} ({listed(names, 4)})" for kind, names in problems.items()
        )
        raise DataError(f"maps in {folder}: {said}")
    return maps, largest, hashlib.sha256("".join(hashes).encode()).hexdigest()


class _Wrong(Exception):
    """What is wrong with one map."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(kind)


def _read(path: Path) -> Map:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path, formats=("TIFF",)) as image:
                values = np.asarray(image)
        found: Map = np.asarray(values, np.float32)
    except Exception as error:  # decoders raise what they like
        raise _Wrong("cannot be read", f": {' '.join(str(error).split())[:80]}") from None
    if found.ndim == 3 and found.shape[0] == 1:
        found = found[0]
    if found.ndim != 2 or not found.size:
        raise _Wrong("not one map of rows and columns", f" {found.shape}")
    if not np.isfinite(found).all():
        raise _Wrong("not finite", "")
    return found


def to_input(values: Map, size: tuple[int, int], geometry: Geometry) -> Map:
    """A map of the original image's (height, width) -> (s, s) as the image itself was brought
    there, bilinear; one of the input's size stays as it is.

    Outside of the image stands the map's smallest value; no metric looks there.
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
    raise _Wrong(
        "of another size",
        f" {values.shape[1]} × {values.shape[0]}, neither the image's {size[1]} × {size[0]} nor the"
        f" input's {side} × {side}",
    )


def read_scores(path: Path, categories: Sequence[str]) -> Scores:
    """A CSV file with the columns image and score, and category unless the image's path begins with
    it; a row whose `split` is calibration calibrates.

    Raises DataError in one line that names what is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            image, score = (
                next((names[name] for name in known if name in names), None)
                for known in (IMAGE, SCORE)
            )
            if image is None or score is None:
                raise DataError(
                    f"{path}: needs the columns image and score (got {listed(names) or 'none'})"
                )
            rows = [
                (
                    row[image] or "",
                    row[score] or "",
                    row.get(names.get("category", "")) or "",
                    row.get(names.get("split", "")) or "",
                )
                for row in reader
            ]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from None
    found: dict[bool, dict[tuple[str, str], float]] = {False: {}, True: {}}
    wrong: list[str] = []
    for name, text, category, split in rows:
        place = _place(name.replace("\\", "/"), category, categories)
        value = _finite(text)
        table = found[split == CALIBRATION]
        if value is None or place in table:
            wrong.append(f"{name} ({'twice' if value is not None else repr(text)})")
            continue
        table[place] = value
    if wrong:
        raise DataError(f"{path}: {len(wrong)} rows without one finite score: {listed(wrong, 4)}")
    return Scores(found[False], found[True])


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _place(name: str, category: str, categories: Iterable[str]) -> tuple[str, str]:
    """(category, image relative to it): `bottle/test/crack/000.png`, also with folders before
    it.
    """
    parts = name.split("/")
    for category_ in (category,) if category else categories:
        if category_ in parts[:-1]:
            return category_, "/".join(parts[parts.index(category_) + 1 :])
    return category, name
