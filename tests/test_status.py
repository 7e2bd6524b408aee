"""`status`, for people and programs, from files alone; `sweep --like`, which repeats a run."""

import json
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
    next(copy.glob("metrics/**/method=patchcore/**/*.parquet")).unlink()
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


def test_like_repeats_a_run_to_the_same_bits_and_says_so(whole, place):
    output = apc_bench(
        "sweep",
        "--like",
        whole,
        "--run",
        place / "again",
        "--cache",
        place / "cache",
        "--executor",
        "serial",
    ).output
    assert f"all that decides numbers is as in {whole}" in output.replace("\n", "")
    then, now = (
        pl.read_parquet(f"{path}/scores/**/*.parquet").drop("seconds").sort(pl.all())
        for path in (whole, place / "again")
    )
    assert now.equals(then)


def test_like_says_what_is_not_as_it_was(whole, place, tmp_path):
    changed = Path(shutil.copytree(whole, tmp_path / "changed"))
    info = json.loads((changed / "run.json").read_text())
    info["computing"]["torch"] = "2.0.0"
    info["fingerprints"]["weave"] = "0" * 16
    (changed / "run.json").write_text(json.dumps(info))
    told = apc_bench(
        "sweep",
        "--like",
        changed,
        "--run",
        tmp_path / "new",
        "--cache",
        place / "cache",
        "--dry-run",
    ).output.replace("\n", "")
    assert "torch was '2.0.0'" in told
    assert "the content of category 'weave' changed" in told


@pytest.mark.parametrize(
    ("more", "reason"),
    [(("--run", "SELF"), "is the run that --like repeats"), (("--job", "tiny"), "leave --job out")],
)
def test_like_refuses_what_cannot_be_a_repetition(whole, more, reason):
    more = [whole if part == "SELF" else part for part in more]
    assert reason in apc_bench("sweep", "--like", whole, *more, "--dry-run", code=2).output.replace(
        "\n", ""
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("--address", "auto"),
        ("--step-timeout", "5"),
        ("--address", "auto", "--scale-up", "--executor", "ray"),
    ],
)
def test_what_only_a_cluster_can_do_is_refused_without_one(flags):
    assert "need" in apc_bench("sweep", *CHOSEN, *flags, "--dry-run", code=2).output


def test_a_relative_run_folder_inside_a_ray_job_is_refused(place, monkeypatch):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    told = apc_bench(
        "sweep", *CHOSEN, "--run", "runs/here", "--cache", place / "cache", "--dry-run", code=2
    ).output
    assert "give an absolute path on shared storage" in told.replace("\n", " ")
