"""The place of a run, and what everything that is stored in it shares: who may write, and what was
found damaged.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from apc_bench.errors import DamagedFile, TakenOver
from apc_bench.files.machine import usable_cores
from apc_bench.store.lock import holding
from apc_bench.store.places import HIVE, was_begun_in_hive
from apc_bench.store.schemas import SCHEMA_VERSION

AT_ONCE = 16
"""Files that are handed to a thread, where there are many: handing one over takes as long as
reading a small one.
"""

Key = TypeVar("Key")
Value = TypeVar("Value")


def in_parallel(
    read: Callable[..., Value], *columns: Iterable[object]
) -> list[Value | DamagedFile]:
    """`read` of each row of the columns, several files at a time; in the place of one that is
    damaged its DamagedFile.
    """

    def outcome(*row: object) -> Value | DamagedFile:
        try:
            return read(*row)
        except DamagedFile as error:
            return error

    def outcomes(some: Sequence[tuple[object, ...]]) -> list[Value | DamagedFile]:
        return [outcome(*row) for row in some]

    rows = list(zip(*columns, strict=True))
    if len(rows) < 2:
        return outcomes(rows)
    threads = usable_cores().amount
    size = max(1, min(AT_ONCE, len(rows) // (4 * threads)))
    handed = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(threads) as pool:
        return [one for some in pool.map(outcomes, handed) for one in some]


class RunFolder:
    """A run's folder.

    `holding`: the sweep that a worker writes for, which outlives its driver's death but must not
    write into a later sweep; None for whoever holds the lock itself. `damaged`: a line for each
    damaged file that was met.
    """

    def __init__(self, path: Path, holding: str | None = None) -> None:
        self.path = path
        self.holding = holding
        self.damaged: list[str] = []

    @cached_property
    def schema(self) -> int:
        """The schema that its files are written in: that of those it holds."""
        return HIVE if was_begun_in_hive(self.path) else SCHEMA_VERSION

    def check_holding(self) -> None:
        """Raises TakenOver where a later sweep holds the folder."""
        if self.holding is not None and holding(self.path) not in (self.holding, None):
            raise TakenOver(
                f"{self.path} has been taken over by a later sweep, which does this step itself"
            )

    def remember(self, damage: DamagedFile | str) -> None:
        """Names a damaged file in `damaged`, once."""
        if str(damage) not in self.damaged:
            self.damaged.append(str(damage))

    def sound(self, read: Iterable[tuple[Key, Value | DamagedFile]]) -> Iterator[tuple[Key, Value]]:
        """What was read (`in_parallel`), by its key, and remembers what is damaged of it."""
        for key, value in read:
            if isinstance(value, DamagedFile):
                self.remember(value)
            else:
                yield key, value

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Remembers the file that is damaged within, and lets its DamagedFile pass."""
        try:
            yield
        except DamagedFile as error:
            self.remember(error)
            raise
