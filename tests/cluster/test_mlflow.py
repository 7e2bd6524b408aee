"""A run in MLflow: its real server takes it, the same run again is there once, and what is not
there is one line.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from support import apc_bench

from apc_bench.errors import UsageError
from apc_bench.export.mlflow_tracker import export_to_mlflow
from apc_bench.export.tracked import tracked_run
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run

pytest.importorskip("mlflow.server", reason="MLflow's server is not installed")
pytestmark = pytest.mark.slow

TINY = ("--job", "tiny", "--categories", "weave", "--shots", "1", "--executor", "serial")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def server(place) -> Iterator[str]:
    """The address of a server of its own, with its database and artifacts in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{place}/mlflow.db"]
    command += ["--artifacts-destination", str(place / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | quiet | {"NO_PROXY": "127.0.0.1"},
            start_new_session=True,
        )
    try:
        while not answers(address):
            assert process.poll() is None, (place / "server.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def run(place) -> Path:
    places = ("--run", place / "night", "--cache", place / "cache")
    apc_bench("sweep", *TINY, "--seeds", "0", *places)
    return place / "night"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def in_mlflow(server: str, experiment: str = "nightly"):
    """The client, and the one run of the experiment."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len(found) == 1
    return client, found[0]


def test_a_run_is_put_into_mlflow_and_grows_there(server, run, place):
    to = ("--to", f"mlflow:{server}", "--experiment", "nightly")
    told = apc_bench("export", run, *to).output
    client, there = in_mlflow(server)
    assert there.info.run_id in told and "2 new trials" in told
    assert there.info.status == "FINISHED"
    assert there.data.params["image_size"] == "32"
    assert there.data.params["methods.apc.settings.steps"] == "4"
    assert_metrics_are_the_files(client, there, run)
    folder = client.download_artifacts(there.info.run_id, "report", str(place))
    page = (Path(folder) / "index.html").read_bytes()
    assert page == (run / "report" / "index.html").read_bytes()
    poster = pl.read_parquet(Path(folder) / "tables" / "poster.parquet")
    assert poster.equals(pl.read_parquet(run / "report" / "tables" / "poster.parquet"))

    before = histories(client, there)
    assert "0 new trials" in apc_bench("export", run, *to).output
    client, again = in_mlflow(server)
    assert again.info.run_id == there.info.run_id
    assert histories(client, again) == before

    apc_bench("sweep", *TINY, "--seeds", "0,1", "--run", run, "--cache", place / "cache")
    moved = Path(shutil.copytree(run, place / "elsewhere"))
    assert "2 new trials, 2 were" in apc_bench("export", moved, *to).output
    client, grown = in_mlflow(server)
    assert grown.info.run_id == there.info.run_id
    assert grown.data.tags["apc_bench.seeds"] == "0, 1"
    assert_metrics_are_the_files(client, grown, run)
    poster = pl.read_parquet(run / "report" / "tables" / "poster.parquet")
    mean = poster.filter(system="APC")["image_auroc_percent"][0]
    assert grown.data.metrics["apc-1/image_auroc"] * 100 == pytest.approx(mean)


def histories(client, there) -> dict[str, list[tuple[int, float]]]:
    run_id = there.info.run_id
    return {
        key: sorted((one.step, one.value) for one in client.get_metric_history(run_id, key))
        for key in there.data.metrics
    }


def assert_metrics_are_the_files(client, there, run: Path) -> None:
    """Every seed of every metric, once, as DuckDB or polars would read it from the run."""
    rows = pl.read_parquet(f"{run}/metrics/**/*.parquet").filter(subset="test")
    for method, shots, name in (("patchcore", 0, "patchcore"), ("apc", 1, "apc-1")):
        own = rows.filter(method=method, shots=shots).sort("seed")
        for metric in ("image_auroc", "au_pro", "seconds_total"):
            history = client.get_metric_history(there.info.run_id, f"{name}/weave/{metric}")
            wanted = list(zip(own["seed"].to_list(), own[metric].to_list(), strict=True))
            assert sorted((one.step, one.value) for one in history) == wanted


def test_another_run_of_the_same_settings_is_another_run(server, run, place):
    apc_bench("export", run, "--to", f"mlflow:{server}", "--experiment", "two")
    other = Path(shutil.copytree(run, place / "other"))
    info = (other / "run.json").read_text()
    created = Run.open(other).info.created
    (other / "run.json").write_text(info.replace(created, "2026-01-02T03:04:05+00:00"))
    apc_bench("export", other, "--to", f"mlflow:{server}", "--experiment", "two")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    assert len(client.search_runs([client.get_experiment_by_name("two").experiment_id])) == 2


def test_an_experiment_that_was_deleted_is_said_in_a_line(server, run):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    client.delete_experiment(client.create_experiment("gone"))
    to = ("--to", f"mlflow:{server}", "--experiment", "gone")
    assert "is deleted in MLflow" in apc_bench("export", run, *to, code=2).output


def test_a_server_that_is_no_mlflow_is_said_in_a_line(run, place):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not listens(port):
            time.sleep(0.1)
        told = apc_bench("export", run, "--to", f"mlflow:http://u:pw@127.0.0.1:{port}", code=2)
    finally:
        served.kill()
        served.wait()
    assert f"no MLflow at http://127.0.0.1:{port}" in told.output
    assert told.output.count("\n") == 1
    assert "pw" not in told.output


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "mlflow:http://127.0.0.1:9"], "no MLflow at http://127.0.0.1:9: "),
        (["--to", "mlflow:odd://there"], "--to mlflow:odd://there: "),
        (["--to", "mlflow:"], "must be mlflow:URI"),
        (["--to", "wandb:x"], "must be mlflow:URI"),
        (["OUT", "--to", "mlflow:http://127.0.0.1:9"], "are two places"),
        (["--to", "mlflow:http://127.0.0.1:9", "--seed", "1"], "takes the whole run"),
        (["OUT", "--experiment", "x"], "goes with --to"),
        ([], "where to?"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(run, arguments, words):
    told = apc_bench("export", run, *arguments, code=2).output
    assert words in told
    assert told.count("\n") == 1


def test_without_the_extra_it_says_how_to_install_it(run, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    opened = Run.open(run)
    tracked = tracked_run(read_results(opened), opened)
    with pytest.raises(UsageError, match=r"pip install 'apc-bench\[mlflow\]'"):
        list(export_to_mlflow(tracked, "http://127.0.0.1:9", "x", lambda: run))
