"""Sweeps of the job `tiny` as processes of their own, what they leave, and what the attempts log
says of them.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl

from apc_bench.store import attempts
from apc_bench.store.attempts import Attempt

AFTER_DEATH = 2.0
"""Seconds in which workers may still commit after their driver died."""


def sweep(place: Path, name: str, *options: str) -> list[str]:
    """The command of a sweep into `place/name`; its page, ten seconds of figures, is tested
    elsewhere.
    """
    job = () if "--job" in options else ("--job", "tiny")
    return [
        sys.executable,
        "-m",
        "apc_bench",
        "sweep",
        "--no-page",
        *job,
        "--run",
        str(place / name),
        "--cache",
        str(place / "cache"),
        *options,
    ]


def finish(command: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def scores_of(run: Path) -> pl.DataFrame:
    frame = pl.read_parquet(f"{run}/scores/**/*.parquet", hive_partitioning=True).drop("seconds")
    return frame.sort("category", "method", "shots", "seed", "split", "image")


def start(command: list[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )  # type: ignore[call-overload, no-any-return]


def log_of(run: Path) -> list[Attempt]:
    return attempts.read_attempts(run / "attempts")


def at_work(run: Path) -> dict[int, str]:
    """The step that each worker is in the midst of, by its process id."""
    last = {attempt.pid: attempt for attempt in log_of(run) if attempt.event != attempts.LOST}
    return {
        pid: attempt.step
        for pid, attempt in last.items()
        if attempt.event == attempts.START and _alive(pid)
    }


def busy(run: Path, step: str | None = None) -> list[int]:
    """Process ids of workers that are in the midst of a step, of the one that is named or of
    any.
    """
    return [pid for pid, name in at_work(run).items() if step in (None, name)]


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return true


def done(run: Path) -> int:
    """How many steps have been committed."""
    return len({attempt.result_key for attempt in log_of(run) if attempt.event == attempts.DONE})


def account(run: Path, faults: list[float]) -> str:
    """Faults injected, steps started, committed, lost and committed twice, and the seconds of work
    that were lost.

    `faults`: when (time.time()) a driver was killed or another fault injected. A step may be
    committed twice only where the first commit fell into the seconds after a fault, when the driver
    could no longer know of it; anything else is an AssertionError.
    """
    log = log_of(run)
    commits: dict[str, list[float]] = {}
    for attempt in log:
        if attempt.event == attempts.DONE:
            commits.setdefault(attempt.result_key, []).append(attempt.time)
    twice = {key: times for key, times in commits.items() if len(times) > 1}
    for key, times in twice.items():
        assert any(
            fault <= time_ <= fault + AFTER_DEATH for fault in faults for time_ in times[:-1]
        ), f"{key} was done twice for no reason"
    events = Counter(attempt.event for attempt in log)
    begun: dict[tuple[int, str], float] = {
        (a.pid, a.result_key): a.time for a in log if a.event == attempts.START
    }
    ended = {(a.pid, a.result_key) for a in log if a.event in (attempts.DONE, attempts.FAILED)}
    lost = 0.0
    for (pid, key), time_ in begun.items():
        if (pid, key) not in ended:
            lost += max(
                0.0, min((fault for fault in faults if fault >= time_), default=time_) - time_
            )
    started = events[attempts.START]
    return (
        f"{len(faults)} faults, {started} steps started, {len(commits)} committed,"
        f" {started - len(ended)} lost, {len(twice)} committed twice, {lost:.1f} s of work lost"
    )
