"""A category's decoded images, memory-mapped from the cache: decoded once per category, input size
and node, never per trial or epoch.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from apc_bench.datasets.decoding import Decoded, decode_into
from apc_bench.datasets.encoding import DECODE_VERSION
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.samples import Category
from apc_bench.errors import DataError
from apc_bench.files.disk import release
from apc_bench.files.hashing import digest
from apc_bench.files.machine import usable_cores
from apc_bench.store.cache import Cache, unwritable
from apc_bench.wording import counted


class UnreadableFiles(DataError):
    """Images of a category that cannot be used, for themselves or their masks; `reasons`: image ->
    the file, and what is wrong with it.
    """

    def __init__(self, category: str, reasons: dict[str, str]) -> None:
        self.reasons = reasons
        super().__init__(
            f"category '{category}': {counted(len(reasons), 'image')} cannot be used:"
            f" {', '.join(reasons.values())}; mend or remove them, or pass --skip-unreadable"
        )


def decoded(
    cache: Cache,
    category: Category,
    fingerprint: str,
    geometry: Geometry,
    *,
    threads: int | None = None,
) -> Decoded:
    """The category's images (n, 3, s, s) uint8 and masks (n, s, s) bool at input size, in the order
    of its samples. `threads`: None for as many as there are cores to use.

    Raises UnreadableFiles that names every file that cannot be decoded, StorageError.
    """
    inputs = (fingerprint, *astuple(geometry), DECODE_VERSION, PIL.__version__)

    def build(folder: Path) -> None:
        count, size = len(category.samples), geometry.image_size
        images = _new_array(folder / "images.npy", np.uint8, (count, 3, size, size))
        masks = _new_array(folder / "masks.npy", np.bool_, (count, size, size))
        placement, state, bad = decode_into(
            category, geometry, images, masks, threads=threads or usable_cores().amount
        )
        if bad:
            raise UnreadableFiles(category.name, bad)
        np.save(folder / "placement.npy", placement)
        (folder / "state.json").write_text(json.dumps(state.tolist()))
        for array in (images, masks):
            array.flush()
            release(array)

    folder = cache.entry("decoded", digest(inputs), build)
    names = ("images", "masks", "placement")
    images, masks, placement = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
    state = np.array(json.loads((folder / "state.json").read_text()))
    return Decoded(images, masks, placement, state)


def _new_array(
    path: Path, dtype: type[np.generic], shape: tuple[int, ...]
) -> "np.memmap[Any, np.dtype[Any]]":
    """A memory-mapped array whose bytes are taken on the disk now: a write to a full disk would end
    the process with SIGBUS later.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    assert isinstance(array, np.memmap)
    return array


def memo_array(
    cache: Cache,
    key: str,
    shape: tuple[int, ...],
    fill: Callable[[NDArray[np.float32]], None],
    *,
    share: float = 0.25,
) -> NDArray[np.float32] | None:
    """A float32 array of this shape that `fill` writes once, memory-mapped; None where it would
    take more than `share` of the disk's free space.

    Raises StorageError when the cache cannot be written.
    """
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache.folder).free
    except OSError as error:
        raise unwritable(cache.folder, error) from None
    is_there = (cache.folder / "features" / key).is_dir()
    needed = np.dtype(np.float32).itemsize * math.prod(shape)
    if not is_there and needed > share * free:
        return None

    def build(folder: Path) -> None:
        out = _new_array(folder / "array.npy", np.float32, shape)
        fill(out)
        out.flush()
        release(out)

    folder = cache.entry("features", key, build)
    array: NDArray[np.float32] = np.load(folder / "array.npy", mmap_mode="r")
    return array
