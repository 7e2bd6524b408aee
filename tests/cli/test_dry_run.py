"""`sweep --dry-run`: how long each system will take here, or why that cannot be said; nothing is
written.
"""

import pytest
import torch
from plugin_support import JOB, example, install
from support import apc_bench, make_category, small_job

from apc_bench import plugins

FEW = (
    "part: no threshold for apc: you have 8 normal training photos, it needs 38 (4 of them"
    " calibrate, 5 % false alarms take 19)"
)


@pytest.fixture
def places(tmp_path):
    make_category(tmp_path / "data", train=8)
    return (
        *("--data", tmp_path / "data", "--run", tmp_path / "run", "--cache", tmp_path / "cache"),
        *("--executor", "serial", "--dry-run"),
    )


def test_it_measures_says_so_and_prints_a_row_for_each_system(places, tmp_path):
    told = apc_bench("sweep", "--job", small_job(tmp_path), *places, "--device", "cpu").output
    lines = told.splitlines()
    assert "1 fine-tuning, 2 trials; 3 left" in lines
    assert FEW in lines
    assert "measuring one step of each kind on this machine's processor …" in lines
    assert any(line.startswith("to use here: ") and " GiB" in line for line in lines)
    rows = [line.split() for line in lines[lines.index(next(filter(is_title, lines))) :]]
    assert ["patchcore", "–", "–", "1"] in [row[:4] for row in rows]
    assert ["apc", "1"] in [row[:2] for row in rows]
    assert any(row[:2] == ["this", "machine"] for row in rows)
    assert not (tmp_path / "run").exists()


def is_title(line: str) -> bool:
    return line.startswith("About how long it takes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_the_gpu_one_line_says_why_there_is_no_estimate(places, tmp_path):
    told = apc_bench("sweep", "--job", small_job(tmp_path), *places, "--device", "cuda").output
    last = told.splitlines()[-1]
    assert last.startswith("no estimate of time: ")
    assert last.endswith("has no GPU that torch can use; pass --device cpu")
    assert not any(map(is_title, told.splitlines()))


def test_a_detector_of_another_package_is_estimated_by_arithmetic_and_that_is_said(
    places, tmp_path, monkeypatch
):
    detector, toml, _ = example()
    install(tmp_path / "site", "apc-bench-deviation", {"deviation": detector}, toml)
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.offered.cache_clear()
    (tmp_path / "job.yaml").write_text(JOB)
    try:
        told = apc_bench("sweep", "--job", tmp_path / "job.yaml", *places, "--device", "cpu").output
    finally:
        plugins.offered.cache_clear()
    assert any(map(is_title, told.splitlines()))
    assert "Deviation: estimated by arithmetic alone, roughly, since" in told


def test_a_finished_run_takes_no_time_and_is_not_measured(places, tmp_path):
    options = ("sweep", "--job", small_job(tmp_path), *places[:-1])
    told = apc_bench(*options).output.splitlines()
    assert FEW in told
    assert told[-1] == "3 steps done"
    lines = apc_bench(*options, "--dry-run").output.splitlines()
    assert lines[-1] == "1 fine-tuning, 2 trials; 0 left"
