"""A synthetic dataset in MVTec layout, made on the spot: textures and objects with defects from
obvious to barely visible.

Every picture is a function of (seed, category, split, type, index, size) alone, so the same seed
gives the same bytes whatever else is made, in whatever order or process (with the same versions of
numpy, scipy and pillow).
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apc_bench.datasets.synthetic.sample import GOOD, REGISTRY, PictureKey, render
from apc_bench.errors import DataError, StorageError, UsageError, listed, unknown

__all__ = ["CATEGORIES", "defect_types", "make_dataset"]

CATEGORIES: tuple[str, ...] = tuple(REGISTRY)

_SMALLEST = 32


def defect_types(category: str) -> tuple[str, ...]:
    """The defect types of a category, in alphabetical order. Raises DataError for an unknown
    category.
    """
    if category not in REGISTRY:
        raise DataError(unknown("synthetic category", category, CATEGORIES))
    return REGISTRY[category].defects


def make_dataset(
    root: Path,
    *,
    categories: Sequence[str] = CATEGORIES,
    size: int = 128,
    train: int = 48,
    good: int = 24,
    per_type: int = 12,
    seed: int = 0,
) -> None:
    """Write `<root>/<category>/{train/good, test/{good,<type>}, ground_truth/<type>}/NNN.png`, with
    masks `NNN_mask.png` of 0 and 255.

    size: side of the pictures (RGB) and masks in pixels. train, good, per_type: pictures per
    category in `train/good`, `test/good` and each `test/<type>`. The folder appears complete or not
    at all. Raises DataError if `root` exists or a category is unknown, UsageError for impossible
    numbers, StorageError if writing fails.
    """
    _check_numbers(size=size, train=train, good=good, per_type=per_type)
    if not categories:
        raise UsageError(f"synthetic dataset: no category given; known are {listed(CATEGORIES)}")
    numbers = {"train": train, "good": good, "per_type": per_type}
    pictures = [
        picture
        for category in dict.fromkeys(categories)
        for picture in _pictures(category, numbers, seed)
    ]
    if root.exists():
        raise DataError(f"{root} exists already: give a folder that does not, or delete it first")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
            made = Path(scratch) / root.name
            for picture in pictures:
                _write(made, picture, size)
            made.rename(root)
    except OSError as error:
        raise StorageError(
            f"cannot write the synthetic dataset to {root}: {error.strerror or error}"
        ) from error


def _check_numbers(*, size: int, train: int, good: int, per_type: int) -> None:
    if size < _SMALLEST:
        raise UsageError(f"synthetic dataset: size must be {_SMALLEST} pixels or more, got {size}")
    counts: Mapping[str, int] = {"train": train, "good": good, "per_type": per_type}
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"synthetic dataset: {name} must be 1 or more, got {count}")


def _pictures(category: str, numbers: Mapping[str, int], seed: int) -> Iterator[PictureKey]:
    """The pictures of a category; `numbers`: train, good and per_type, as of make_dataset."""
    counts = {("train", GOOD): numbers["train"], ("test", GOOD): numbers["good"]}
    for kind in defect_types(category):
        counts["test", kind] = numbers["per_type"]
    for (split, kind), count in counts.items():
        for number in range(count):
            yield PictureKey(seed, category, split, kind, number)


def _write(root: Path, key: PictureKey, size: int) -> None:
    rendering, folder = render(key, size), root / key.category
    _write_png(folder / key.split / key.kind / f"{key.number:03d}.png", rendering.image)
    if key.kind != GOOD:
        place = folder / "ground_truth" / key.kind / f"{key.number:03d}_mask.png"
        _write_png(place, rendering.mask.astype(np.uint8) * 255)


def _write_png(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
