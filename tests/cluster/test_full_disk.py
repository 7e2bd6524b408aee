"""A run folder on a file system that fills up: what is committed stays, the line says why, and it
goes on once there is room.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import finish, scores_of, sweep

from apc_bench.store.run import Run

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Path]:
    """A file system of 20 MB."""
    place = tmp_path_factory.mktemp("small")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(
            f"needs a file system of its own, which user {os.getuid()} may not mount here:"
            f" {made.stderr.strip()}"
        )
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_the_sweep_ends_well_once_there_is_room(
    small, tmp_path, serial
):
    cache = ("--cache", str(tmp_path / "cache"), "--device", "cpu")
    full = finish(sweep(small, "run", *cache), code=1)
    assert full.stderr.splitlines()[-1].startswith("error: cannot write ")
    assert "No space left on device" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    run = Run.open(small / "run")
    before = run.metrics()
    assert not run.damaged
    assert 0 < before.n_unique("result_key") < 16
    for key in before["result_key"].unique():
        assert len(run.scores(key)) > 0
    subprocess.run(["mount", "-o", "remount,size=100m", str(small)], check=True)
    finish(sweep(small, "run", *cache))
    assert scores_of(small / "run").equals(scores_of(serial))
    after = Run.open(small / "run").metrics()
    kept = after.filter(after["result_key"].is_in(before["result_key"].implode()))
    assert kept.sort("result_key", "subset").equals(before.sort("result_key", "subset")), (
        "committed trials are not done again"
    )
