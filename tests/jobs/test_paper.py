"""The paper's path: its job on a tree with MVTec AD's counts, and one short step of each system at
full size.
"""

import io
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from support import apc_bench, make_category
from torchvision.models import resnet50

from apc_bench.datasets.counts import PUBLISHED
from apc_bench.runner import measuring
from apc_bench.runner.rates import Rates
from apc_bench.store.run import Run


@pytest.fixture
def not_measured(monkeypatch):
    """How long the steps take is not the question: five networks at full size would take a minute
    to tell.
    """
    monkeypatch.setattr(measuring.Measuring, "rates", lambda *_: Rates())


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory) -> Path:
    """A tree with the names and counts of MVTec AD; every file is another one-pixel picture."""
    root = tmp_path_factory.mktemp("mvtec")
    number = 0

    def write(folder: Path, count: int, ending: str) -> None:
        nonlocal number
        folder.mkdir(parents=True)
        for index in range(count):
            number += 1
            buffer = io.BytesIO()
            Image.fromarray(
                np.array([[[number % 256, number // 256 % 256, number // 65536]]], np.uint8)
            ).save(buffer, "PNG", compress_level=0)
            (folder / f"{index:03}{ending}").write_bytes(buffer.getvalue())

    for category, (train, good, types) in PUBLISHED["mvtec_ad"].items():
        write(root / category / "train" / "good", train, ".png")
        write(root / category / "test" / "good", good, ".png")
        for kind, count in types.items():
            write(root / category / "test" / kind, count, ".png")
            write(root / category / "ground_truth" / kind, count, "_mask.png")
    return root


def test_the_paper_job_prints_its_exact_list_of_steps(mvtec, tmp_path, not_measured):
    options = ("--data", mvtec, "--dry-run", "--cache", tmp_path / "cache", "--device", "cpu")
    result = apc_bench("sweep", "--job", "paper", *options)
    lines = result.output.splitlines()
    steps = [line for line in lines if line.startswith("would ")]
    expected = set()
    for category in PUBLISHED["mvtec_ad"]:
        for seed in range(5):
            for method in ("patchcore", "apc-frozen", "patchcore-wr50"):
                expected.add(f"would score {method} · {category} · seed {seed}")
            for method, shots in itertools.product(
                ("apc", "prnet"), ("1 shot", "5 shots", "10 shots")
            ):
                expected.add(f"would fine-tune {method} · {category} · {shots} · seed {seed}")
                expected.add(f"would score {method} · {category} · {shots} · seed {seed}")
    assert set(steps) == expected
    assert len(steps) == len(expected) == 15 * 5 * (3 + 6 + 6)
    assert "450 fine-tunings, 675 trials; 1125 left" in lines
    downloads = [line for line in lines if "; downloaded once, to " in line]
    assert len(downloads) == 3
    assert "runs/paper-mvtec_ad-" in result.output
    assert not (tmp_path / "cache" / "weights").exists()


def test_a_folder_with_mvtec_counts_is_known_as_mvtec_ad_and_cropped_and_another_is_not(
    mvtec, tmp_path, not_measured
):
    places = ("--dry-run", "--cache", tmp_path / "cache", "--device", "cpu")
    chosen = ("--categories", "toothbrush", "--methods", "patchcore", "--seeds", "0")
    options = (*places, *chosen)
    assert "runs/sweep-mvtec_ad-" in apc_bench("sweep", "--data", mvtec, *options).output
    (mvtec / "toothbrush" / "train" / "good" / "000.png").unlink()
    assert "runs/sweep-mvtec_ad-" not in apc_bench("sweep", "--data", mvtec, *options).output


@pytest.mark.slow
def test_one_short_step_of_each_system_at_full_size(tmp_path):
    """ResNet-50 at 224 pixels, PatchCore and PRNet with torchvision's layout and APC with MoCo
    v3's, on weights that are made here.
    """
    torch.manual_seed(0)
    state = resnet50(weights=None).state_dict()
    torch.save(state, tmp_path / "imagenet.pth")
    encoder = {
        f"module.base_encoder.{key}": value
        for key, value in state.items()
        if not key.startswith("fc.")
    }
    torch.save({"state_dict": encoder, "epoch": 1000}, tmp_path / "moco.pth.tar")
    make_category(tmp_path / "data", train=3, good=1, defects=2, size=64)
    job = tmp_path / "short.yaml"
    job.write_text(
        "image_size: 224\nresize: crop\nreserve: 1\nshots: [1]\nseeds: [0]\nmethods:\n  patchcore:"
        f" {{backbone: resnet50, weights: '{tmp_path}/imagenet.pth', settings: {{coreset_ratio:"
        " 0.01}}\n  prnet: {detector: prnet, backbone: resnet50, weights:"
        f" '{tmp_path}/imagenet.pth', settings: {{steps: 1, batch: 2}}}}\n  apc: {{detector: apc,"
        f" backbone: moco_v3_resnet50, weights: '{tmp_path}/moco.pth.tar', settings: {{steps: 1,"
        " batch: 2, coreset_ratio: 0.01}}\n"
    )
    places = ("--data", tmp_path / "data", "--cache", tmp_path / "cache", "--run", tmp_path / "run")
    apc_bench("sweep", "--no-page", "--job", job, "--executor", "serial", *places)
    run = Run.open(tmp_path / "run")
    metrics = run.metrics().filter(pl.col("subset") == "test")
    assert set(metrics["method"]) == {"patchcore", "prnet", "apc"}
    for row in metrics.iter_rows(named=True):
        _, maps = run.maps(row["result_key"])
        assert maps.shape[1:] == ((112, 112) if row["method"] == "prnet" else (28, 28))
        assert row["image_auroc"] is not None
        assert row["pixel_auroc"] is not None
