"""Backbones of timm from the command to the report: a vision transformer and a convolutional network,
with weights from a file.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import apc_bench, make_category

timm = pytest.importorskip("timm", reason="timm is not installed (the extra 'timm')")

SMALL = "pretrain_dim: 32, target_dim: 32"
TRAINED = f"{SMALL}, steps: 2, batch: 4"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and the weights of the two."""
    place = tmp_path_factory.mktemp("timm")
    make_category(place / "data", train=8, size=40)
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), place / "vit.safetensors")
    torch.save(timm.create_model("test_convnext").state_dict(), place / "convnext.pth")
    return place


def job(place: Path, methods: str) -> Path:
    path = place / "job.yaml"
    path.write_text(f"image_size: 40\nreserve: 2\nshots: [2]\nseeds: [0]\nmethods:\n{methods}")
    return path


def sweep(place: Path, methods: str, *more: object, code: int = 0) -> str:
    options = ("--data", place / "data", "--run", place / "run", "--cache", place / "cache")
    command = ("sweep", "--job", job(place, methods), "--executor", "serial", *options, *more)
    return apc_bench(*command, code=code).output


def test_a_transformer_and_a_convolutional_network_are_swept_reported_and_resumed(place):
    vit = f"backbone: timm/test_vit.r160_in1k, weights: {place / 'vit.safetensors'}"
    conv = f"backbone: timm/test_convnext.r160_in1k, weights: {place / 'convnext.pth'}"
    methods = (
        f"  vit: {{{vit}, settings: {{{SMALL}, layers: [blocks.1, 4]}}}}\n"
        f"  vit-apc: {{detector: apc, {vit}, settings: {{{TRAINED}}}}}\n"
        f"  apc: {{detector: apc, {conv}, settings: {{{TRAINED}, layers: [stages.1, stages.3]}}}}\n"
        f"  apc-plus: {{detector: apc+, {conv}, settings: {{{TRAINED}, classifier_steps: 2}}}}\n"
        f"  prnet: {{detector: prnet, {conv}, settings: {{steps: 2, batch: 4}}}}\n"
    )
    said = sweep(place, methods)
    assert "sees images of 40 px resized to 48 px, a multiple of its patches of 16 px" in said
    info = json.loads((place / "run" / "run.json").read_text())
    assert info["weights"]["vit"]["network"] == (
        f"timm {timm.__version__}, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)"
    )
    page = (place / "run" / "report" / "index.html").read_text()
    assert all(f">{method}<" in page for method in ("vit", "vit-apc", "apc", "apc-plus", "prnet"))
    assert "resized to 48 px" in page
    files = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*.parquet")}
    sweep(place, methods)
    assert {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*.parquet")} == files


def test_prnet_says_in_one_line_that_a_transformer_has_no_stages_for_it(place):
    vit = f"backbone: timm/test_vit.r160_in1k, weights: {place / 'vit.safetensors'}"
    said = sweep(place, f"  prnet: {{detector: prnet, {vit}}}\n", "--run", place / "no", code=2)
    assert "PRNet exchanges between resolutions" in said and "16, 16, 16 pixels" in said
    assert not (place / "no").exists()


def test_a_wrong_layer_ends_the_sweep_before_it_starts(place):
    vit = f"backbone: timm/test_vit.r160_in1k, weights: {place / 'vit.safetensors'}"
    said = sweep(
        place, f"  a: {{{vit}, settings: {{layers: [stages.2]}}}}\n", "--run", place / "no", code=2
    )
    assert "no layer 'stages.2'" in said and "3 blocks.3" in said
