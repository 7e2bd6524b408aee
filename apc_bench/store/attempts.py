"""The attempts log: append-only JSON lines of every start and end of a step. It tells what
happened; it never counts as done.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apc_bench.errors import StorageError

START, DONE, FAILED, LOST = "start", "done", "failed", "lost"


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that was tried and is not done: its last reason, and the traceback where there is
    one.
    """

    result_key: str
    kind: str
    category: str
    method: str
    shots: int
    seed: int
    reason: str
    traceback: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the log. `event`: start, done, failed or lost; `reason` and `traceback` where it
    failed.

    `node`: the process id of the Ray node's own server, which tells nodes on one host apart; empty
    without Ray.
    """

    event: str
    result_key: str
    time: float
    host: str
    pid: int
    kind: str = ""
    step: str = ""
    seconds: float | None = None
    reason: str | None = None
    traceback: str | None = None
    node: str = ""


def record(folder: Path, event: str, *, result_key: str, kind: str, step: str, **more: Any) -> None:
    """Appends one line to this process's own file under `folder`; one write call, so that lines
    never mix. Raises StorageError.

    File names that are no UTF-8 are kept as JSON's own escapes.
    """
    host, pid = socket.gethostname(), os.getpid()
    where = {"host": host, "pid": pid, "node": os.environ.get("RAY_RAYLET_PID", "")}
    line = {
        "event": event,
        "result_key": result_key,
        "time": time.time(),
        **where,
        "kind": kind,
        "step": step,
        **more,
    }
    path = folder / f"{host}-{pid}.jsonl"
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            written = os.write(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
    if written < len(data):
        raise StorageError(
            f"cannot write {path}: only {written} of {len(data)} bytes were taken; the disk is full"
        )


def read_attempts(folder: Path) -> list[Attempt]:
    """All lines of all processes, by time; a line that a crash cut short is passed over."""
    return sorted(_lines(folder), key=lambda attempt: attempt.time)


def last_written(folder: Path) -> int:
    """When the last line was written, in nanoseconds since 1970; 0 where none was."""
    return max((path.stat().st_mtime_ns for path in folder.glob("*.jsonl")), default=0)


def failures(log: Iterable[Attempt], plan: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """The steps of a plan (rows of schemas.PLAN) whose last attempt, of all by time, failed or was
    lost.
    """
    last = {attempt.result_key: attempt for attempt in log}
    failed = []
    for row in plan:
        end = last.get(row["result_key"])
        if end and end.event in (FAILED, LOST):
            names = ("result_key", "kind", "category", "method", "shots", "seed")
            step = {name: row[name] for name in names}
            failed.append(Failure(**step, reason=end.reason or end.event, traceback=end.traceback))
    return failed


def _lines(folder: Path) -> Iterator[Attempt]:
    for path in sorted(folder.glob("*.jsonl")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for line in _values([line for line in text.split("\n") if line]):
            try:
                yield Attempt(**line)
            except TypeError:
                continue


def _values(lines: list[str]) -> list[Any]:
    """The JSON value of each line that has one: all in one go, which takes a third of the time,
    unless some line has none.
    """
    with suppress(ValueError):
        values: list[Any] = json.loads(f"[{','.join(lines)}]")
        if len(values) == len(lines):
            return values
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found
