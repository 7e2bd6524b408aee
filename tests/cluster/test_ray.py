"""Real Ray, real processes: the executor changes no number, loses no step and ends what must end."""

import os
import time
from pathlib import Path

import pytest
from processes import finish, scores_of, sweep

from apc_bench.store import attempts
from apc_bench.store.run import Run

pytestmark = pytest.mark.ray


def no_ray_left() -> bool:
    names = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return not any(b"gcs_server" in name or b"raylet" in name for name in names)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def serial(place) -> Path:
    finish(sweep(place, "serial", "--executor", "serial"))
    return place / "serial"


def test_ray_gives_the_bits_of_serial_and_leaves_no_process(place, serial):
    done = finish(sweep(place, "ray"))
    assert scores_of(place / "ray").equals(scores_of(serial))
    assert "28 steps done" in done.stderr
    assert "(raylet)" not in done.stdout + done.stderr
    pids = {attempt.pid for attempt in attempts.read_attempts(place / "ray" / "attempts") if attempt.event == "done"}
    assert len(pids) > 1, "the steps were not fanned out"
    deadline = time.monotonic() + 30
    while not no_ray_left() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert no_ray_left()


def test_a_second_sweep_on_the_folder_is_told_who_holds_it(place, serial):
    with Run(serial).lock():
        done = finish(sweep(place, "serial", "--executor", "serial"), code=2)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert done.stderr.count("error:") == 1
