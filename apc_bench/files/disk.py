"""What the kernel is asked for: bytes on the disk now, and memory back that only mirrors a file."""

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a download needs no numpy
    from numpy.typing import NDArray

RELEASED_ABOVE = 1 << 28
"""Bytes of a memory-mapped array above which its pages are let go after use."""


def sync(path: Path) -> None:
    """Has the kernel put a file, or the names in a folder, on the disk, so that they outlive a loss
    of power. Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def release(array: "NDArray[Any]", *, above: int = RELEASED_ABOVE) -> None:
    """Lets go of the pages of a memory-mapped array of more than `above` bytes: they stay in the
    system's cache until that needs the room, and a category larger than memory is not held by the
    process that reads through it. Any other array is left alone.
    """
    mapping: Any = array.base
    if isinstance(mapping, mmap.mmap) and array.nbytes > above and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
