"""Ctrl-C and a scheduler's SIGTERM: counted, and obeyed where it is safe."""

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

GRACE = 20.0
"""Seconds that running steps have to end after the first request; schedulers kill after 30."""


class StopSignals:
    """Counts requests to stop while it is entered: at the first nothing more is started, at the
    second nothing more is waited for.

    The handler only counts. An exception out of it, in the midst of compiled code that holds
    references, can crash the process.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None
        self._told = False
        self._again = False

    def __enter__(self) -> Self:
        self._previous = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether to start nothing more."""
        return self._since is not None

    def at_once(self, running: int) -> bool:
        """Whether to leave the `running` steps alone and go. Tells the user, once, what is waited
        for.
        """
        if self._since is None:
            return False
        if not (self._told or self._again):
            self._say(
                f"stopping: {running} running steps have {GRACE:.0f} s to end; Ctrl-C again ends"
                " them now"
            )
            self._told = True
        return self._again or time.monotonic() - self._since > GRACE

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._again = self.asked
        self._since = self._since or time.monotonic()
