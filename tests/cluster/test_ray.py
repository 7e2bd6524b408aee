"""Real Ray, real processes: the executor changes no number, loses no step and ends what must end."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from processes import finish, scores_of, sweep, wait_until

from apc_bench.store import attempts
from apc_bench.store.run import Run

pytestmark = pytest.mark.ray


def marked(mark: str) -> list[int]:
    """The processes that carry a mark in their environment, which a process hands on to those that it starts."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [int(path.parent.name)] if mark.encode() in path.read_bytes() else []
    return found


def test_ray_gives_the_bits_of_serial_and_leaves_no_process(place, serial, monkeypatch):
    mark = f"started-by-test-{os.getpid()}"
    with monkeypatch.context() as patch:
        patch.setenv("APC_BENCH_TEST", mark)
        done = finish(sweep(place, "ray"))
    assert scores_of(place / "ray").equals(scores_of(serial))
    assert "28 steps done" in done.stderr
    assert "(raylet)" not in done.stdout + done.stderr
    pids = {attempt.pid for attempt in attempts.read_attempts(place / "ray" / "attempts") if attempt.event == "done"}
    assert len(pids) > 1, "the steps were not fanned out"
    assert wait_until(lambda: not marked(mark), 30), "processes are left behind"


def test_a_second_sweep_on_the_folder_is_told_who_holds_it(place, serial):
    with Run(serial).lock():
        done = finish(sweep(place, "serial", "--executor", "serial"), code=2)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert done.stderr.count("error:") == 1
