"""Real Ray, real processes: the executor changes no number, loses no step and ends what must
end.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from processes import finish, scores_of, sweep, wait_until

from apc_bench.store import attempts
from apc_bench.store.run import Run

pytestmark = pytest.mark.ray


def marked(mark: str) -> list[int]:
    """The processes that carry a mark in their environment, which a process hands on to those that
    it starts.
    """
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
    pids = {
        attempt.pid
        for attempt in attempts.read_attempts(place / "ray" / "attempts")
        if attempt.event == "done"
    }
    assert len(pids) > 1, "the steps were not fanned out"
    assert wait_until(lambda: not marked(mark), 30), "processes are left behind"


def test_a_second_sweep_on_the_folder_is_told_who_holds_it(serial):
    with Run(serial).lock():
        done = finish(sweep(serial.parent, serial.name, "--executor", "serial"), code=2)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert done.stderr.count("error:") == 1


HOLDING = """
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.ray_connection import connected
with connected(Resources(1, {}, workers=1), print) as ray:
    print(ray.get_runtime_context().gcs_address, flush=True)
    input()
"""


def test_a_stranger_without_the_token_cannot_join_a_private_ray():
    """SECURITY.md: Ray's ports listen on all interfaces, and the token keeps others out."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        address = holder.stdout.readline().strip()
        assert address
        stranger = (
            f"import ray; ray.init(address={address!r}, log_to_driver=False); print('joined')"
        )
        env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
        tried = subprocess.run(
            [sys.executable, "-c", stranger],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "joined" not in tried.stdout
        assert tried.returncode != 0
        assert "auth" in tried.stderr.lower() or "token" in tried.stderr.lower()
    finally:
        holder.stdin.write("\n")
        holder.communicate(timeout=60)
