"""One sweep at a time in a run folder, and none that outlives its time."""

import subprocess
import sys

import pytest
from store_support import TRIALS, TUNING, result_of

from apc_bench.errors import RunError, TakenOver
from apc_bench.store.run import Run

HOLD = """
import sys, time
from pathlib import Path
from apc_bench.store.run import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(RunError, match=f"in use by process {process.pid}"), Run(tmp_path).lock():
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with Run(tmp_path).lock():
        pass


def test_the_lock_is_free_after_its_block_and_taken_within_it(tmp_path):
    run = Run(tmp_path / "new")
    lock = run.lock()
    with lock:
        with pytest.raises(RunError, match="in use by process"), Run(tmp_path / "new").lock():
            pytest.fail("two sweeps in one folder")
        (tmp_path / "new" / ".holder.json").write_text("[]")
        with pytest.raises(RunError, match="in use by another sweep"), Run(tmp_path / "new").lock():
            pytest.fail("two sweeps in one folder")
    with run.lock():  # `lock` still lives; the folder is free all the same
        pass


def test_a_worker_of_a_dead_sweep_writes_nothing_into_the_folder_of_a_later_one(run):
    with run.lock() as first:
        pass
    with run.lock() as second:
        before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        orphan = Run(run.path, first)
        with pytest.raises(TakenOver, match="taken over by a later sweep"):
            orphan.trials.write(TRIALS[1], result_of(TRIALS[2]))
        with pytest.raises(TakenOver, match="taken over by a later sweep"):
            orphan.extractors.write(TUNING, b"other", [], {})
        assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
        Run(run.path, second).trials.write(TRIALS[1], result_of(TRIALS[1]))
    assert run.is_done(TRIALS[1])


def test_a_file_in_the_place_of_the_run_folder_is_told(tmp_path):
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(RunError, match="a file is in the way"), Run(path).lock():
            pytest.fail("no folder was locked")
