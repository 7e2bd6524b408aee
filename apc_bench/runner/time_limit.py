"""A step that takes too long ends its own process and leaves a note of where it was: also one that
hangs in compiled code, which nobody else could interrupt.
"""

import faulthandler
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from apc_bench.errors import StorageError

GRACE = 3.0
"""Seconds that a thread of Python has to end the process, before the watchdog does. The watchdog
needs no turn of the interpreter, so nothing stops it; but it reads the stacks of running code, and
about one in a thousand is then cut short or crashes it (measured with Python 3.11).
"""


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
        timer = threading.Timer(seconds, _end_process, [file])
        timer.daemon = True
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=file)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            faulthandler.cancel_dump_traceback_later()
            note.unlink(missing_ok=True)


def _end_process(note: TextIO) -> None:
    """Writes the stack of every thread and ends the process at once, in this one turn of the
    interpreter: the stacks stand still.
    """
    faulthandler.dump_traceback(file=note)
    os._exit(1)


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
