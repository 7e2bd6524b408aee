"""`apc-bench submit` on a head node with a dashboard: the log comes along, and so does the exit
code.
"""

import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from processes import done, finish, wait_until

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.ray


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def dashboard(environment) -> Iterator[str]:
    """A head node of two cores whose token this process holds; its dashboard's address."""
    for name, value in (
        ("RAY_AUTH_MODE", "token"),
        ("RAY_AUTH_TOKEN", secrets.token_hex(32)),
        ("RAY_USAGE_STATS_ENABLED", "0"),
    ):
        environment.setenv(name, value)
    port, board, agent = free_port(), free_port(), free_port()
    node = [
        "--head",
        f"--port={port}",
        "--num-cpus=2",
        "--num-gpus=0",
        "--include-dashboard=true",
        f"--dashboard-port={board}",
    ]
    node += [
        f"--dashboard-agent-listen-port={agent}"
    ]  # else the one of another cluster on this machine has it already, and no job is taken
    head = subprocess.Popen(
        [BIN / "ray", "start", *node, "--block"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda: answers(board), 120), "no dashboard"
    yield f"http://127.0.0.1:{board}"
    head.terminate()  # not `ray stop`, which would end every Ray of this machine
    head.wait(timeout=60)


def submit(dashboard: str, job: str, *options: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "apc_bench",
        "submit",
        job,
        "--address",
        dashboard,
        "--python",
        sys.executable,
        *options,
    ]


def test_a_job_file_and_the_working_tree_travel_and_the_log_comes_back(dashboard, tmp_path):
    job = yaml.safe_load(Path("jobs/tiny.yaml").read_text()) | {
        "shots": [1],
        "seeds": [0],
        "job": "mine",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(job))
    places = ("--run", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--device", "cpu")
    ended = finish(submit(dashboard, str(tmp_path / "mine.yaml"), "--working-tree", *places))
    assert ended.stdout.count("6 steps done") == 1, ended.stdout
    assert "page: " in ended.stdout
    assert done(tmp_path / "run") == 6
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    expected = (
        subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if shutil.which("git")
        else None
    )
    if expected is not None and expected.returncode == 0:
        assert info["environment"]["git"]["commit"] == expected.stdout.strip()


def test_the_exit_code_of_the_sweep_comes_back(dashboard, tmp_path):
    failed = finish(
        submit(
            dashboard, "tiny", "--run", str(tmp_path / "run"), "--data", str(tmp_path / "nothing")
        ),
        code=2,
    )
    assert "error: " in failed.stdout
    assert "nothing" in failed.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "say with --run where the results go"),
        (("--run", "runs/here"), "--run runs/here is relative"),
        (("--run", "/r", "--data", "here"), "--data here is relative"),
        (("--run", "/r", "--shotss", "1"), "No such option"),
    ],
)
def test_what_the_sweep_would_refuse_or_lose_is_refused_before_it_travels(options, reason):
    refused = finish(submit("http://127.0.0.1:1", "tiny", *options), code=2)
    assert reason in refused.stderr


def test_no_dashboard_is_one_line():
    refused = finish(submit("http://127.0.0.1:1", "tiny", "--run", "/r"), code=2)
    assert "no Ray cluster takes jobs at http://127.0.0.1:1" in refused.stderr
    assert refused.stderr.count("\n") == 1
