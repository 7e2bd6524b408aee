"""What a run folder says of itself."""

import json
import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from support import apc_bench

from apc_bench.store import attempts
from apc_bench.store.run import Run

CHOSEN = (
    "--job",
    "tiny",
    "--executor",
    "serial",
    "--categories",
    "weave",
    "--shots",
    "1",
    "--seeds",
    "0",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("status")


@pytest.fixture(scope="module")
def whole(place) -> Path:
    apc_bench("sweep", *CHOSEN, "--run", place / "whole", "--cache", place / "cache")
    return place / "whole"


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """The run with one trial's metrics gone, as if its sweep had died."""
    copy = Path(shutil.copytree(whole, tmp_path / "run"))
    next(copy.glob("metrics/*/*/patchcore/**/*.parquet")).unlink()
    return copy


def state(run: Path) -> dict:
    return json.loads(apc_bench("status", run, "--json").stdout)


def test_what_a_dead_sweep_left_is_counted_and_listed(run):
    (run / "scores" / ".tmp-half").write_text("x")
    found = state(run)
    assert (found["total"], found["done"], found["left"], found["held"]) == (3, 2, 1, False)
    assert found["leftovers"] == [str(run / "scores" / ".tmp-half")]
    assert found["ends"] is None
    assert "left by a crash, removed by the next sweep" in apc_bench("status", run).output


def test_a_sweep_at_work_shows_what_runs_how_fast_and_when_it_ends(run):
    """Twelve steps, one every 36 s: a hundred an hour; the pause of a night between two of them
    does not count.
    """
    now = time.time()
    with (run / "attempts" / "other-1.jsonl").open("w") as file:
        for number in range(12):
            then = now - 36 * (12 - number) - (30_000 if number < 6 else 0)
            file.write(
                json.dumps(
                    {
                        "event": "done",
                        "result_key": f"k{number}",
                        "time": then,
                        "host": "other",
                        "pid": 1,
                    }
                )
                + "\n"
            )
    for path in run.glob("attempts/*.jsonl"):
        if path.name != "other-1.jsonl":
            path.unlink()
    row = Run.open(run).plan().filter(pl.col("method") == "patchcore").to_dicts()[0]
    attempts.record(
        run / "attempts",
        attempts.START,
        result_key=row["result_key"],
        kind="trial",
        step="score patchcore",
    )
    with Run(run).lock():
        found = state(run)
    assert found["running"] == ["score patchcore"]
    assert found["steps_an_hour"] == pytest.approx(100, rel=0.01)
    assert (
        datetime.fromisoformat(found["ends"]) - datetime.now().astimezone()
    ).total_seconds() == pytest.approx(36, abs=5)


def test_watch_ends_when_no_sweep_holds_the_folder(run):
    assert "no sweep is at work here" in apc_bench("status", run, "--watch").output


def test_an_extractor_is_done_where_its_files_are_and_the_sweep_says_whether_they_verify(
    run, place
):
    (weights,) = (run / "extractors").glob("*.safetensors")
    sound = weights.read_bytes()
    weights.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    assert (state(run)["done"], state(run)["damaged"]) == (2, [])
    weights.unlink()
    assert state(run)["done"] == 1
    weights.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    told = apc_bench("sweep", *CHOSEN, "--run", run, "--cache", place / "cache").output
    assert f"damaged: {weights}" in told.replace("\n", "")


def test_an_old_page_is_named_with_how_to_draw_it_again(run):
    mark = run / "report" / ".apc-bench-report"
    assert "the page" not in apc_bench("status", run).output
    assert "page_outdated" not in state(run)
    written = mark.read_text()
    mark.write_text("made by apc-bench 0.0.9 abcdef0123456789 without images; replaced\n")
    output = apc_bench("status", run).output
    assert "the page was drawn by apc-bench 0.0.9 abcdef012345, and this is 0.1.0" in output
    assert f"`apc-bench report {run}` draws it again" in output
    assert "0.0.9" in state(run)["page_outdated"]
    mark.write_text(written)
    os.utime(mark, (0, 0))
    assert "the page is older than the run's last results: `apc-bench report " in (
        apc_bench("status", run).output
    )
    shutil.rmtree(run / "report")
    assert "the page" not in apc_bench("status", run).output


@pytest.mark.parametrize(("protocol", "word"), [("holdout", "seed"), ("crossfit", "fold")])
def test_a_failed_step_is_named_as_its_protocol_calls_it(run, protocol, word):
    row = Run.open(run).plan().filter(pl.col("method") == "patchcore").to_dicts()[0]
    attempts.record(
        run / "attempts",
        attempts.FAILED,
        result_key=row["result_key"],
        kind="trial",
        step="score patchcore",
        reason="out of memory",
    )
    info = json.loads((run / "run.json").read_text())
    info["settings"]["protocol"] = protocol
    (run / "run.json").write_text(json.dumps(info))
    told = apc_bench("status", run).output
    assert f"failed   trial patchcore · weave · {word} 0: out of memory" in told
