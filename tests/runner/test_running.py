"""A long step shows life: in the log, in a terminal, and in `status` of another process."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_support import JOB, install
from processes import wait_until
from rich.console import Console
from support import apc_bench, make_category

from apc_bench.plan import TRIAL, Step
from apc_bench.runner import reporting, running
from apc_bench.runner.messages import Outcome
from apc_bench.runner.progress import Display
from apc_bench.runner.reporting import Reporter
from apc_bench.settings.sweep import Method
from apc_bench.store import attempts
from apc_bench.store.run import Run
from apc_bench.store.stages import read_stage, write_stage

PATIENT = """
import os, time
import numpy as np
from pathlib import Path
from apc_bench.settings.detectors import DetectorSettings

class Settings(DetectorSettings):
    floor: float = 1.0

class Deviation:
    settings_class = Settings

    def __init__(self, method, weights, sha256): pass

    def train(self, data): raise NotImplementedError

    def fit(self, data, trained):
        while not Path(os.environ["TELL"]).exists():
            time.sleep(0.05)
        data.progress("stirring", 3, 7, np.float32(0.5))
        time.sleep(600)
"""
"""A detector that tells how far it is once it is asked to, and never ends."""

OFTEN = """
from apc_bench.runner import reporting, running
running.LOOK_EVERY = reporting.EVERY = 0.05
running.LOGGED_EVERY = 0.2
from apc_bench.cli import main
main()
"""
NAME = "score mine · part · seed 0"
STEP = Step(TRIAL, "key", "trial", "d", "c", "m", 0, 0, None, Method(), 1.0)


@pytest.fixture
def patient(tmp_path, monkeypatch):
    """A sweep of the patient detector in a process of its own, whose output is no terminal."""
    entries = '[project.entry-points."apc_bench.detectors"]\ndeviation = "deviation:Deviation"\n'
    make_category(tmp_path / "data")
    (tmp_path / "job.yaml").write_text(JOB)
    install(tmp_path / "site", "patient", {"deviation": PATIENT}, entries)
    paths = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("TELL", str(tmp_path / "tell"))
    options = {"job": "job.yaml", "data": "data", "run": "run", "cache": "cache"}
    command = [sys.executable, "-c", OFTEN, "sweep", "--executor", "serial"]
    for name, place in options.items():
        command += [f"--{name}", str(tmp_path / place)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait()


def states(run: Path) -> dict:
    return json.loads(apc_bench("status", run, "--json").stdout)


def test_a_step_is_seen_in_the_log_and_from_another_process_until_it_is_killed(patient, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    line = f"running {NAME}: fitting, "
    assert wait_until(lambda: line in log.read_text(), 120), "it has told nothing yet"
    (tmp_path / "tell").touch()
    line = f"running {NAME}: stirring 3/7, loss 0.5, "
    assert wait_until(lambda: log.read_text().count(line) > 2, 120), log.read_text()
    found = states(run)
    assert found["running"] == [NAME]
    (stage,) = found["stages"]
    assert (stage["stage"], stage["done"], stage["total"], stage["loss"]) == ("stirring", 3, 7, 0.5)
    assert stage["pid"] == patient.pid
    assert stage["seconds"] >= 0
    assert f"running  {NAME}: stirring 3/7, loss 0.5, " in apc_bench("status", run).output

    patient.kill()
    patient.wait()
    left = [str(path) for path in (run / "attempts").glob(".*")]
    assert left, "the process was killed in the midst of its step"
    found = states(run)
    assert (found["running"], found["stages"], found["held"]) == ([], [], False)
    assert found["leftovers"] == left
    with Run(run).lock():  # as if it were only its worker that died: another one begins
        assert states(run)["stages"][0]["stage"] == "stirring"
        (begun,) = attempts.read_attempts(run / "attempts")
        names = {"result_key": begun.result_key, "kind": begun.kind, "step": begun.step}
        attempts.record(run / "attempts", attempts.LOST, **names)
        assert states(run)["stages"] == []
        attempts.record(run / "attempts", attempts.START, **names)
        assert states(run)["running"] == [NAME]
        assert states(run)["stages"][0]["stage"] is None
    assert Run(run).clean() == len(left), "as the next sweep does"


def test_a_terminal_shows_a_line_for_each_running_step_and_none_after(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOOK_EVERY", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    with Display([STEP], tmp_path, console=console) as display:
        display.running.began(STEP)
        write_stage(tmp_path, STEP.result_key, "coreset", 1638, 4096, None)
        assert wait_until(lambda: f"{STEP.name}: coreset 39 %, " in shown.getvalue(), 60)
        display.ended_with(STEP, Outcome(True, 1.0))
        for _ in range(2):  # what was begun before it may still be drawn
            shown.truncate(0)
            assert wait_until(lambda: "1/1" in shown.getvalue(), 60)
        assert "coreset" not in shown.getvalue()
        display.running.began(STEP)
    assert not list(tmp_path.iterdir()), "an interrupted sweep leaves no word of its steps"


def test_a_training_under_way_tells_in_the_log_how_long_all_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(running, "LOGGED_EVERY", 0.05)
    said = io.StringIO()
    write_stage(tmp_path, STEP.result_key, "fine-tuning", 30, 100, 0.5)
    with Display([STEP], tmp_path, console=Console(file=said, width=100)) as display:
        display.began(STEP)
        assert wait_until(lambda: "fine-tuning 30/100" in said.getvalue(), 60)
        (ongoing,) = display.running.ongoing()
        assert ongoing.share == 0.3
        assert wait_until(lambda: " s left in all\n" in said.getvalue(), 60)
        display.ended_with(STEP, Outcome(True, 1.0))
        assert display.left() == ""


def test_a_step_goes_on_where_its_word_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "EVERY", 0.01)
    with Reporter(tmp_path / "gone", "key") as progress:
        progress("features", 1, 2)
        assert not wait_until((tmp_path / "gone").exists, 0.3)
        (tmp_path / "gone").mkdir()
        progress("features", 2, 2)
        assert wait_until(lambda: read_stage(tmp_path / "gone", "key") is not None, 60)
    assert not list((tmp_path / "gone").iterdir())


def test_a_loss_is_read_now_and_then_alone_and_goes_with_its_stage(tmp_path, monkeypatch):
    """On a GPU, reading it waits for all that was asked before."""
    monkeypatch.setattr(reporting, "EVERY", 1000.0)
    read = []

    class Loss:
        def __float__(self) -> float:
            read.append(self)
            return 0.25

    progress = Reporter(tmp_path, "key")
    for step in range(50):
        progress("fine-tuning", step + 1, 50, Loss())
    assert len(read) == 1
    assert progress.now == ("fine-tuning", 50, 50, 0.25)
    progress("features", 1, 2)
    assert progress.now == ("features", 1, 2, None)
    monkeypatch.setattr(reporting, "EVERY", 0.0)
    progress("fine-tuning", 1, 50, float("nan"))
    assert progress.now == ("fine-tuning", 1, 50, None), "JSON has no such number"


def test_a_word_of_long_ago_is_said_to_be_old(tmp_path, monkeypatch):
    write_stage(tmp_path, "key", "search", 16, 60, None)
    stage = read_stage(tmp_path, "key")
    assert str(stage) == "search 16/60"
    monkeypatch.setattr("time.time", lambda: stage.time + 300)
    assert str(stage) == "search 16/60 (no word for 5 min)"
    (path,) = tmp_path.iterdir()
    for damaged in ('{"name": "search"', path.read_text().replace("null", '"no"'), "[]"):
        path.write_text(damaged)
        assert read_stage(tmp_path, "key") is None
