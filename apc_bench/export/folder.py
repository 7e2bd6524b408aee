"""A folder that is there whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from apc_bench.errors import StorageError, UsageError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` at the end; after an error nothing is left of it.

    Raises UsageError where `out` holds anything, StorageError where it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already and not empty; name a folder that does not exist")
    beside = out.absolute().with_name(f".{out.name}-{uuid4().hex[:8]}")
    try:
        beside.mkdir(parents=True)
        yield beside
        beside.rename(out)  # over an empty folder too
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
