"""A step that takes too long ends its own process and leaves a note of where it was: also one that
hangs in compiled code, which nobody else could interrupt.
"""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apc_bench.errors import StorageError


@contextmanager
def time_limit(seconds: float | None, note: Path) -> Iterator[None]:
    """Ends this process after `seconds` of the block, None: never. `note` then holds the stack of
    every thread; else there is none.

    Raises StorageError where the note cannot be written.
    """
    if seconds is None:
        yield
        return
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        file = note.open("w", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {note}: {error.strerror or error}") from None
    with file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            note.unlink(missing_ok=True)


def take_note(note: Path) -> str | None:
    """The stacks of a step that was ended for its time, and removes the note; None where it ended
    otherwise.
    """
    try:
        text = note.read_text(encoding="utf-8", errors="replace")
        note.unlink()
    except OSError:
        return None
    return text or None
