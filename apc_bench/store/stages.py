"""Where a running step is: a small file beside the attempts log while the step runs, read by its
sweep and from any machine. It is for people; nothing else depends on it.

Its name is that of a half-written file, so what a killed worker leaves goes as all such files do.
"""

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from apc_bench.store.files import TEMPORARY
from apc_bench.wording import duration

SILENT = 60.0
"""Seconds without a word after which that is said: a process that lives writes more often."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`done` of `total` of the stage called `name` (0 of 0: not counted) and a training's loss, as
    the process `pid` on `host` said at `time` (Unix seconds).
    """

    name: str
    done: int
    total: int
    loss: float | None
    host: str
    pid: int
    time: float

    def __str__(self) -> str:
        """`features 120/434`, `coreset 40 %`, `fine-tuning 80/300, loss 0.412`."""
        words = self.name
        if self.total:
            counted = f"{self.done}/{self.total}"
            words += f" {counted if self.total < 1000 else f'{100 * self.done // self.total} %'}"
        if self.loss is not None:
            words += f", loss {self.loss:.3g}"
        silent = time.time() - self.time
        return f"{words} (no word for {duration(silent)})" if silent > SILENT else words


def write_stage(
    folder: Path, result_key: str, name: str, done: int, total: int, loss: float | None
) -> None:
    """Says where the step with this key is. Whole or not at all, and not synced: a crash may lose
    it. Raises OSError.
    """
    stage = Stage(name, done, total, loss, socket.gethostname(), os.getpid(), time.time())
    path = _path(folder, result_key)
    temporary = path.with_name(f"{path.name}.{stage.host}-{stage.pid}")
    try:
        temporary.write_text(json.dumps(asdict(stage)), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def read_stage(folder: Path, result_key: str) -> Stage | None:
    """Where the step is; None where it says nothing that can be read."""
    try:
        stage = Stage(**json.loads(_path(folder, result_key).read_text(encoding="utf-8")))
        str(stage)  # fails where a number is none
    except (OSError, ValueError, TypeError):
        return None
    return stage


def remove_stage(folder: Path, result_key: str) -> None:
    """The step has ended. Raises OSError."""
    _path(folder, result_key).unlink(missing_ok=True)


def _path(folder: Path, result_key: str) -> Path:
    return folder / f"{TEMPORARY}{result_key}.stage"
