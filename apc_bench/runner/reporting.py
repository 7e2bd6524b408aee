"""A step's word on how far it is, for the run folder: what it does is kept in memory, and a thread
writes it now and then.
"""

import math
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self, SupportsFloat

from apc_bench.store.stages import remove_stage, write_stage

EVERY = 2.0
"""Seconds between two words, and before the first: a short step writes none."""

ALIVE = 20.0
"""Seconds after which the same is said again (stages.SILENT)."""


class Reporter:
    """Told how far a step is (networks/progress.py), while it is entered; `now`: stage, done, total
    and loss. What cannot be written is let go: the step's own writes will tell what is wrong with
    the folder.
    """

    def __init__(self, folder: Path, result_key: str) -> None:
        self._folder, self._key = folder, result_key
        self.now: tuple[str, int, int, float | None] = ("starting", 0, 0, None)
        self._read_loss = -math.inf
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __call__(
        self, stage: str, done: int = 0, total: int = 0, loss: SupportsFloat | None = None, /
    ) -> None:
        """Takes note. The loss is read every EVERY seconds, since that may wait for a GPU."""
        before, *_, value = self.now
        if loss is None or stage != before:
            value = None
        if loss is not None and time.monotonic() - self._read_loss >= EVERY:
            number = float(loss)
            value = number if math.isfinite(number) else None
            self._read_loss = time.monotonic()
        self.now = (str(stage), int(done), int(total), value)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            remove_stage(self._folder, self._key)

    def _write(self) -> None:
        written, at = None, -math.inf
        while not self._ended.wait(EVERY):
            now = self.now
            if now == written and time.monotonic() - at < ALIVE:
                continue
            with suppress(OSError):
                write_stage(self._folder, self._key, *now)
            written, at = now, time.monotonic()
