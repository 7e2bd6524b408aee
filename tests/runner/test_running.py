"""A long step shows life: in the log, in a terminal, and in `status` of another process."""

import io
import json
import os
import signal
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
from apc_bench.detectors.protocol import Scored, Timings
from apc_bench.settings.detectors import DetectorSettings

class Settings(DetectorSettings):
    floor: float = 1.0

class Deviation:
    settings_class = Settings
    unit, bank, timings, notes, sigma = "standard score", None, Timings(), (), 0.0

    def __init__(self, method, weights, sha256): pass

    def train(self, data): raise NotImplementedError

    def fit(self, data, trained):
        TELL
        while not Path(os.environ["GO_ON"]).exists():
            time.sleep(0.05)
        self.normal = data.normal
        return self

    def score(self, images):
        maps = images.array[images.rows].astype(np.float32).mean(1)
        none = np.zeros((len(maps), 2), np.int64)
        return Scored(maps, maps.max((1, 2)), none)

    def calibrate(self):
        return self.normal, self.score(self.normal)
"""
"""A detector that waits in the midst of its work until it is let go on."""

OFTEN = """
from apc_bench.runner import reporting, running
running.LOOK_EVERY = reporting.EVERY = 0.05
running.LOGGED_EVERY = 0.2
from apc_bench.cli import main
main()
"""
STEP = Step(TRIAL, "key", "trial", "d", "c", "m", 0, 0, None, Method(), 1.0)


@pytest.fixture
def patient(tmp_path, monkeypatch):
    """Starts a sweep of the patient detector, whose output is no terminal, in a process of its
    own.
    """
    entries = '[project.entry-points."apc_bench.detectors"]\ndeviation = "deviation:Deviation"\n'
    make_category(tmp_path / "data")
    (tmp_path / "job.yaml").write_text(JOB)
    paths = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("GO_ON", str(tmp_path / "go"))
    begun = []

    def sweep(tell: str):
        code = PATIENT.replace("TELL", tell)
        install(tmp_path / "site", "patient", {"deviation": code}, entries)
        options = {"job": "job.yaml", "data": "data", "run": "run", "cache": "cache"}
        command = [sys.executable, "-c", OFTEN, "sweep", "--executor", "serial"]
        for name, place in options.items():
            command += [f"--{name}", str(tmp_path / place)]
        with (tmp_path / "log").open("w") as log:
            begun.append(subprocess.Popen(command, stdout=log, stderr=log))
        return begun[-1]

    yield sweep
    for process in begun:
        process.kill()
        process.wait()


def states(run: Path) -> dict:
    return json.loads(apc_bench("status", run, "--json").stdout)


def test_a_step_is_seen_in_the_log_and_from_another_process_until_it_ends(patient, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    process = patient("data.progress('stirring', 3, 7, np.float32(0.5))")
    line = "running score mine · part · seed 0: stirring 3/7, loss 0.5, "
    assert wait_until(lambda: log.read_text().count(line) > 2, 120), log.read_text()
    found = states(run)
    assert found["running"] == ["score mine · part · seed 0"]
    (stage,) = found["stages"]
    assert stage["seconds"] >= 0
    assert (stage["stage"], stage["done"], stage["total"], stage["loss"]) == ("stirring", 3, 7, 0.5)
    assert stage["pid"] == process.pid
    assert "seed 0: stirring 3/7, loss 0.5, " in apc_bench("status", run).output
    (tmp_path / "go").touch()
    assert process.wait(120) == 0, log.read_text()
    assert "[1/1] score mine · part · seed 0: " in log.read_text()
    assert states(run)["stages"] == []
    assert not list((run / "attempts").glob(".*"))


def test_a_detector_that_tells_nothing_is_seen_and_what_a_killed_one_left_does_not_run(
    patient, tmp_path
):
    run, log = tmp_path / "run", tmp_path / "log"
    process = patient("pass")
    wanted = "running score mine · part · seed 0: fitting, "
    assert wait_until(lambda: wanted in log.read_text(), 120), log.read_text()
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [str(path) for path in (run / "attempts").glob(".*")]
    assert left, "the process was killed in the midst of its step"
    found = states(run)
    assert (found["running"], found["stages"], found["held"]) == ([], [], False)
    assert found["leftovers"] == left
    with Run(run).lock():  # another sweep has begun, and its worker this step
        assert states(run)["stages"][0]["stage"] == "fitting"
        (begun,) = attempts.read_attempts(run / "attempts")
        names = {"result_key": begun.result_key, "kind": begun.kind, "step": begun.step}
        attempts.record(run / "attempts", attempts.START, **names)
        assert states(run)["running"] == ["score mine · part · seed 0"]
        assert states(run)["stages"][0]["stage"] is None
    assert Run(run).clean() == len(left), "as the next sweep does"
    assert not list((run / "attempts").glob(".*"))


def test_a_terminal_shows_a_line_for_each_running_step_and_none_after(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOOK_EVERY", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    with Display([STEP], tmp_path, console=console) as display:
        display.running.began(STEP)
        write_stage(tmp_path, STEP.result_key, "coreset", 1638, 4096, None)
        assert wait_until(lambda: f"{STEP.name}: coreset 39 %, " in shown.getvalue(), 60)
        display.running.ended(STEP)
        shown.truncate(0)
        assert wait_until(lambda: "0/1" in shown.getvalue(), 60)
        shown.truncate(0)
        assert wait_until(lambda: "0/1" in shown.getvalue(), 60)
        assert STEP.name not in shown.getvalue()


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
    next(tmp_path.iterdir()).write_text('{"name": "search"')
    assert read_stage(tmp_path, "key") is None
