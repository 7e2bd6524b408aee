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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apc_bench.datasets.geometry import Geometry
from apc_bench.errors import DataError, listed
from apc_bench.files.hashing import file_sha256

ENDINGS = (".tiff", ".tif", ".npy")
IMAGE, SCORE = ("image", "image_path", "path"), ("score", "anomaly_score", "pred_score")
CALIBRATION = "calibration"

AnomalyMaps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """(category, image) -> score of the images to test, and of normal images that calibrate a
    threshold: training images that the method did not learn from.
    """

    test: dict[tuple[str, str], float]
    calibration: dict[tuple[str, str], float]

    def calibration_of(self, category: str) -> dict[str, float]:
        """Image -> score of a category's calibration images."""
        own = {}
        for (place, image), score in self.calibration.items():
            if place == category:
                own[image] = score
        return own


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
        raise DataError(f"{root}: no maps of seed {seed} (it has {listed(names)})")
    return root / f"seed={seed}"


def categories_in(root: Path, known: Sequence[str]) -> list[str]:
    """The categories that have maps. Raises DataError where there is none."""
    folders = [root, *_seed_folders(root)]

    def has_maps(category: str) -> bool:
        return any((folder / category / "test").is_dir() for folder in folders)

    mapped = [category for category in known if has_maps(category)]
    if not mapped:
        raise DataError(
            f"{root}: no maps in it; they belong in {root / known[0] / 'test'}/TYPE/NAME.tiff"
            f" (categories: {listed(known)})"
        )
    return mapped


def map_file(folder: Path, image: str) -> Path | None:
    """The file that holds an image's map: its name with another ending."""
    places = (folder / Path(image).with_suffix(ending) for ending in ENDINGS)
    return next((place for place in places if place.is_file()), None)


def read_maps(
    folder: Path, images: Sequence[str], sizes: Sequence[tuple[int, int]], geometry: Geometry
) -> tuple[AnomalyMaps, list[float], str]:
    """Maps (n, s, s) float32 at input size, the largest value of each as it was stored, and a
    digest of the files.

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
        except _BadMap as error:
            problems.setdefault(error.kind, []).append(f"{image}{error.detail}")
            continue
        largest.append(float(values.max()))
        hashes.append(file_sha256(path))
    if problems:
        kinds = [f"{kind}: {len(names)} ({listed(names, 4)})" for kind, names in problems.items()]
        raise DataError(f"maps in {folder}: {'; '.join(kinds)}")
    return maps, largest, hashlib.sha256("".join(hashes).encode()).hexdigest()


class _BadMap(Exception):
    """What is wrong with one map."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(kind)


def _read(path: Path) -> AnomalyMaps:
    """One map (rows, columns) float32."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path, formats=("TIFF",)) as image:
                values = np.asarray(image)
        anomaly_map: AnomalyMaps = np.asarray(values, np.float32)
    except Exception as error:  # decoders raise what they like
        raise _BadMap("cannot be read", f": {' '.join(str(error).split())[:80]}") from None
    if anomaly_map.ndim == 3 and anomaly_map.shape[0] == 1:
        anomaly_map = anomaly_map[0]
    if anomaly_map.ndim != 2 or not anomaly_map.size:
        raise _BadMap("not one map of rows and columns", f" {anomaly_map.shape}")
    if not np.isfinite(anomaly_map).all():
        raise _BadMap("not finite")
    return anomaly_map


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


def read_scores(path: Path, categories: Sequence[str]) -> ImageScores:
    """A CSV file with the columns image and score, and category unless the image's path begins with
    it; a row whose `split` is calibration calibrates.

    Raises DataError in one line that names what is wrong.
    """
    scores = ImageScores({}, {})
    wrong: list[str] = []
    for row in _rows(path):
        place = _place(row.image.replace("\\", "/"), row.category, categories)
        value = _finite(row.score)
        table = scores.calibration if row.split == CALIBRATION else scores.test
        if value is None:
            wrong.append(f"{row.image} ({row.score!r})")
        elif place in table:
            wrong.append(f"{row.image} (twice)")
        else:
            table[place] = value
    if wrong:
        raise DataError(f"{path}: {len(wrong)} rows without one finite score: {listed(wrong, 4)}")
    return scores


class _Row(NamedTuple):
    image: str
    score: str
    category: str
    split: str


def _rows(path: Path) -> list[_Row]:
    """The cells that count, '' where there is none. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            column_of = {name.strip().lower(): name for name in reader.fieldnames or ()}
            image = next((column_of[name] for name in IMAGE if name in column_of), None)
            score = next((column_of[name] for name in SCORE if name in column_of), None)
            if image is None or score is None:
                raise DataError(
                    f"{path}: needs the columns image and score (got {listed(column_of) or 'none'})"
                )
            columns = (image, score, column_of.get("category", ""), column_of.get("split", ""))
            return [_Row(*(row.get(column) or "" for column in columns)) for row in reader]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from None


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
    for candidate in (category,) if category else categories:
        if candidate in parts[:-1]:
            return candidate, "/".join(parts[parts.index(candidate) + 1 :])
    return category, name
