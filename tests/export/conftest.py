"""Runs whose results are taken elsewhere."""

import json
from pathlib import Path

import pytest
from support import apc_bench, make_category


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the frozen baseline on 48 × 48 images, cropped to an input of 32."""
    place = tmp_path_factory.mktemp("export")
    make_category(place / "data", "part", size=48, train=4, good=4, defects=6)
    job = {"image_size": 32, "resize": "crop", "reserve": 2, "shots": [1], "seeds": [3]}
    settings = {"pretrain_dim": 64, "target_dim": 64, "sigma": 1.0}
    job["methods"] = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "settings": settings}
    }
    (place / "job.yaml").write_text(json.dumps(job))
    apc_bench(
        "sweep",
        "--job",
        place / "job.yaml",
        "--data",
        place / "data",
        "--run",
        place / "run",
        "--executor",
        "serial",
        "--device",
        "cpu",
    )
    return place / "run"
