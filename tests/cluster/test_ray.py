"""Real Ray, real processes: the executor changes no number, loses no step and ends what must end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from apc_bench.store import attempts
from apc_bench.store.run import Run

pytestmark = pytest.mark.ray


def sweep(place: Path, name: str, *options: str) -> list[str]:
    base = [sys.executable, "-m", "apc_bench", "sweep", "--job", "tiny", "--run", str(place / name), "--cache", str(place / "cache")]
    return [*base, *options]


def finish(command: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def scores_of(run: Path) -> pl.DataFrame:
    frame = pl.read_parquet(f"{run}/scores/**/*.parquet", hive_partitioning=True).drop("seconds")
    return frame.sort("category", "method", "shots", "seed", "split", "image")


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


def test_a_killed_worker_changes_no_number(place, serial):
    driver = subprocess.Popen(sweep(place, "killed"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = place / "killed" / "attempts"
    killed: set[int] = set()
    deadline = time.monotonic() + 240
    while driver.poll() is None and len(killed) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        ended = {(attempt.pid, attempt.result_key) for attempt in attempts.read_attempts(folder) if attempt.event != "start"}
        busy = [attempt.pid for attempt in attempts.read_attempts(folder) if (attempt.pid, attempt.result_key) not in ended]
        for pid in set(busy) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            time.sleep(2)
            break
    output, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, output
    assert killed, "no worker was caught at work"
    assert scores_of(place / "killed").equals(scores_of(serial))


def test_an_interrupted_sweep_goes_on_to_the_same_bits(place, serial):
    driver = subprocess.Popen(sweep(place, "stopped"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = place / "stopped" / "attempts"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and sum(attempt.event == "done" for attempt in attempts.read_attempts(folder)) < 5:
        time.sleep(0.2)
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=100)
    assert driver.returncode == 130, output
    assert "run the same command again" in output
    finish(sweep(place, "stopped"))
    assert scores_of(place / "stopped").equals(scores_of(serial))


def test_a_second_sweep_on_the_folder_is_told_who_holds_it(place, serial):
    with Run(serial).lock():
        done = finish(sweep(place, "serial", "--executor", "serial"), code=2)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert done.stderr.count("error:") == 1
