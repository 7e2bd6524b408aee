"""Processes that Python starts anew, which know nothing of the program that starts them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from threading import Thread
from types import ModuleType
from typing import Any


class _Process(SpawnProcess):
    def start(self) -> None:
        """Starts with the main module out of sight: Python would run it once more in the new
        process, and a script that sweeps would sweep there again.
        """
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    Process = _Process


ANEW = _Context()
"""What multiprocessing and its pools take as context. What is sent to such a process must be of a
module that it can import, which the main module is not.
"""


class Handover:
    """What each of several processes started anew takes once."""

    def __init__(self, ends: list[Connection]) -> None:
        self._ends = ends
        self._taken = ANEW.Value("i", 0)

    def take(self) -> Any:
        """The value; waits until it is there. Raises EOFError where it will not come."""
        with self._taken.get_lock():
            mine = self._ends[self._taken.value]
            self._taken.value += 1
        return mine.recv()


@contextmanager
def handed_to(processes: int, value: Any) -> Iterator[Handover]:
    """Hands a value to so many processes. It is copied here and now, once, and sent beside what
    else is done: sent with a process's start it would hold its sender up until that process has
    imported all that the value is made of, seconds each.
    """
    copy = ForkingPickler.dumps(value)
    pipes = [ANEW.Pipe(duplex=False) for _ in range(processes)]

    def send() -> None:
        for _, sender in pipes:
            with suppress(BrokenPipeError):  # nobody is left to read it
                sender.send_bytes(copy)

    sending = Thread(target=send, daemon=True)
    sending.start()
    try:
        yield Handover([receiver for receiver, _ in pipes])
    finally:
        for receiver, _ in pipes:
            receiver.close()
        sending.join()
        for _, sender in pipes:
            sender.close()
