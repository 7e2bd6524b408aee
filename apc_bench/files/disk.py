"""What the kernel is asked for: bytes on the disk now, two folders in each other's places, and
memory back that only mirrors a file.
"""

import ctypes
import errno
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a download needs no numpy
    from numpy.typing import NDArray

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux

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


def exchange(first: Path, second: Path) -> None:
    """Has two files or folders of one file system change places in a single step: whoever looks, in
    the middle or after a crash, finds one or the other in each place. Raises OSError, with ENOSYS
    or EINVAL where the system or the file system cannot (Linux can, on local file systems).
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(first))
    paths = (_HERE, os.fsencode(first), _HERE, os.fsencode(second))
    if rename(*paths, _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(first))


def release(array: "NDArray[Any]", *, above: int = RELEASED_ABOVE) -> None:
    """Lets go of the pages of a memory-mapped array of more than `above` bytes: they stay in the
    system's cache until that needs the room, and a category larger than memory is not held by the
    process that reads through it. Any other array is left alone.
    """
    mapping: Any = array.base
    if isinstance(mapping, mmap.mmap) and array.nbytes > above and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
