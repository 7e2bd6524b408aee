"""Processes that Python starts anew, which know nothing of the program that starts them."""

import sys
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType


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
