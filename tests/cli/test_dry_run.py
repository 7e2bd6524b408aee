"""`sweep --dry-run`: how long each system will take here, or why that cannot be said; nothing is
written.
"""

import sys

import pytest
import torch
from PIL import Image
from plugin_support import JOB, example, install
from support import apc_bench, make_category, small_job

from apc_bench import plugins
from apc_bench.runner.prepare import prepare
from apc_bench.settings.job import sweep_from
from apc_bench.store.cache import Cache

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


PLUS = "{title: APC+, detector: apc+, backbone: builtin"
CLASSIFIED, TUNED = f"{PLUS}}}", f"{PLUS}, settings: {{weight_interpolation: 0.5}}}}"
SAID = "no masks in 'part': APC+ can learn nothing from the defects and will rank as PatchCore does"


@pytest.mark.parametrize(
    ("masks", "method", "said"),
    [(False, CLASSIFIED, True), (True, CLASSIFIED, False), (False, TUNED, False)],
    ids=["without", "with", "fine-tuned"],
)
def test_that_a_system_learns_nothing_without_masks_is_said_at_the_start(
    tmp_path, masks, method, said
):
    """And not where it is fine-tuned: that takes the photos as they are."""
    make_category(tmp_path / "data", train=8, masks=masks)
    (tmp_path / "job.yaml").write_text(f"image_size: 32\nmethods: {{plus: {method}}}")
    sweep, _ = sweep_from(str(tmp_path / "job.yaml"), {"protocol": "crossfit", "folds": 2})
    lines: list[str] = []
    for dry in (True, False):
        prepare(sweep, tmp_path / "data", Cache(tmp_path / "cache"), say=lines.append, dry=dry)
    assert lines.count(SAID) == (2 if said else 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_without_a_gpu_a_sweep_on_one_is_refused_at_its_start(places, tmp_path, dry):
    options = (*places[:-1], *dry, "--device", "cuda")
    told = apc_bench("sweep", "--job", small_job(tmp_path), *options, code=2).output
    assert told.startswith("error: --device cuda: this machine has no GPU that torch can use;")
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_photos_in_the_place_of_masks_are_refused_before_a_step_is_promised(places, tmp_path):
    part = tmp_path / "data" / "part"
    for mask in part.glob("ground_truth/dent/*"):
        Image.open(part / "test" / "dent" / f"{mask.name[:3]}.png").convert("L").save(mask)
    options = ("sweep", "--job", small_job(tmp_path), *places, "--device", "cpu")
    told = apc_bench(*options, code=2).output
    assert "ground_truth/dent/000_mask.png: has the many shades of a photo" in told
    assert "would score" not in told
    checked = apc_bench("data", "check", tmp_path / "data", code=2).output
    assert "error: unclear (4)" in checked and "grey mask" not in checked


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
        sys.modules.pop("deviation", None)  # other tests install another of this name
    assert any(map(is_title, told.splitlines()))
    assert "Deviation: estimated by arithmetic alone, roughly, since" in told


def test_a_finished_run_takes_no_time_and_is_not_measured(places, tmp_path):
    options = ("sweep", "--job", small_job(tmp_path), *places[:-1])
    told = apc_bench(*options).output.splitlines()
    assert FEW in told
    assert told[-1] == "3 steps done"
    lines = apc_bench(*options, "--dry-run").output.splitlines()
    assert lines[-1] == "1 fine-tuning, 2 trials; 0 left"
