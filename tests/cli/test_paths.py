"""Paths that look like something else: a scheme, a drive, a pattern, the sign before a heading."""

import json
from pathlib import Path

import pytest
from support import apc_bench, make_category, small_job


@pytest.fixture
def data(tmp_path, monkeypatch) -> str:
    """A dataset whose folder's name holds a colon, as a relative path."""
    make_category(tmp_path / "da:ta")
    monkeypatch.chdir(tmp_path)
    return "da:ta"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_command_takes_a_folder_for_a_folder(data, tmp_path):
    name = "exp:1 a#b [1]*"
    fixed = ("--job", small_job(tmp_path), "--data", data, "--cache", "ca:che")
    sweep = ("sweep", *fixed, "--executor", "serial", "--methods", "patchcore", "--run", name)
    apc_bench(*sweep)
    assert "were done before" in apc_bench(*sweep).output
    state = json.loads(apc_bench("status", name, "--json").stdout)
    assert state["done"] == state["total"] > 0 == len(state["damaged"])
    apc_bench("export", name, "ma:ps", "--method", "patchcore")
    apc_bench("evaluate", "ma:ps", "--run", name, "--name", "m", "--cache", "ca:che")
    compared = json.loads(apc_bench("compare", name, name, "--json").stdout)
    assert compared["deltas"]
    made = [data, "ca:che", name, "ma:ps", Path(fixed[1]).name]
    assert listing(tmp_path) == sorted(made)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--data", "da:ta", "--run", "s3://bucket/run"),
        ("sweep", "--data", "gs://bucket/data", "--run", "run"),
        ("status", "file:///tmp/run"),
        ("report", "hdfs://host/run"),
        ("export", "s3://bucket/run", "out"),
    ],
)
def test_an_address_is_no_folder(data, tmp_path, arguments):
    """A path would make of it a folder `s3:` here."""
    said = apc_bench(*arguments, code=2).output
    assert "is an address; name the folder where it is mounted" in said
    assert listing(tmp_path) == [data]
