"""Ray on machines that are set up against it: another place is found, or one line says why not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import finish, sweep

pytestmark = pytest.mark.ray


def started(*before: str, **environment: str) -> dict[str, Any]:
    """What the trial of `apc-bench doctor` tells, which starts a Ray as a sweep does."""
    command = [*before, sys.executable, "-m", "apc_bench.runner.executors.ray_trial"]
    surroundings = {**os.environ, **environment}
    done = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, timeout=280, check=False
    )
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def test_a_temporary_folder_that_is_too_long_changes_nothing_but_the_place(tmp_path):
    long = tmp_path / ("x" * 100)
    told = started(TMPDIR=str(long))
    (said,) = told["said"]
    assert said.startswith("Ray's temporary files go to /")
    assert f"{long}/ray is " in said
    assert told["fault"] is None and told["cores"] >= 1


def test_where_no_process_can_reach_another_it_is_said_at_once():
    """A network of its own without even a loopback, as a strict firewall or sandbox leaves it."""
    own = ["unshare", "-n", "true"]
    if shutil.which("unshare") is None or subprocess.run(own, check=False).returncode:
        pytest.skip("no network of its own can be made here")
    said = started("unshare", "-n")["fault"]
    assert said.startswith("Ray cannot start: processes of this machine cannot reach each other")
    assert said.endswith("pass --executor serial, which does without Ray")


def test_what_ray_itself_cannot_do_is_one_line():
    """A port that is no number, in a variable of Ray's own."""
    folder = Path("/tmp") / f"rt-{os.getpid()}"
    try:
        said = started(TMPDIR=str(folder), RAY_GCS_SERVER_PORT="1x")["fault"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert said.startswith("Ray could not start: ")
    assert f"its logs are in {folder}/ray/session_latest/logs" in said


def test_a_folder_asked_for_that_will_not_do_is_one_line(tmp_path):
    long = ("--ray-temp", str(tmp_path / ("x" * 100)))
    done = finish(sweep(tmp_path, "asked", *long), code=2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: --ray-temp ")
    assert last.endswith("pass --executor serial, which does without Ray")
    assert "Traceback" not in done.stderr
