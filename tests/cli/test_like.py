"""A sweep like another run, and flags that only a cluster can take."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from support import apc_bench

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
    apc_bench("sweep", "--no-page", *CHOSEN, "--run", place / "whole", "--cache", place / "cache")
    return place / "whole"


def test_like_repeats_a_run_to_the_same_bits_and_says_so(whole, place):
    output = apc_bench(
        "sweep",
        "--no-page",
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
        "--no-page",
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
