"""Files of a folder replaced by fewer, so that whoever reads, with polars too, finds every row
once: at every moment, and after a crash at any.

The folder is made anew elsewhere, with the new files and links to whatever stays, and synced; then
old and new change places in one step. A file system that cannot exchange two folders (NFS) gets the
new files first and loses the old ones after it: the store's own readers go by trials and see each
once, others may meanwhile see rows twice, and after a crash until the next sweep or `compact`.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from apc_bench.files.disk import exchange, sync
from apc_bench.store.files import TEMPORARY

_NO_EXCHANGE = {
    errno.ENOSYS,
    errno.EINVAL,
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EMLINK,
}


def put_in_place(staged: Path, place: Path, gone: Sequence[Path]) -> None:
    """Puts the files in the folder `staged` in the place of those that go from the folder `place`
    and those below it. What is left in `staged` is of no use. Raises OSError.
    """
    came = sorted(staged.iterdir())
    try:
        _link_what_stays(place, staged, gone)
        exchange(staged, place)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        _put_one_by_one(came, place, gone)
    else:
        sync(place.parent)
        sync(staged.parent)


def _link_what_stays(place: Path, staged: Path, gone: Sequence[Path]) -> None:
    going = set(gone)
    for path in place.rglob("*"):
        if path.is_file() and path not in going and not path.name.startswith(TEMPORARY):
            link = staged / path.relative_to(place)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(path)
    for folder, _, _ in os.walk(staged):
        sync(Path(folder))


def _put_one_by_one(came: Sequence[Path], place: Path, gone: Sequence[Path]) -> None:
    new = [path.replace(place / path.name) for path in came]
    sync(place)
    for path in set(gone).difference(new):
        path.unlink()
    for folder, _, _ in os.walk(place, topdown=False):
        if Path(folder) != place and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
