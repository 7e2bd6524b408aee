"""Runs whose results are taken elsewhere."""

import json
from pathlib import Path

import pytest
from PIL import Image
from support import apc_bench, make_category


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the frozen baseline on 48 × 48 images, cropped to an input of 32."""
    place = tmp_path_factory.mktemp("export")
    make_category(place / "data", "part", size=48, train=12, good=4, defects=6)
    job = {"image_size": 32, "resize": "crop", "reserve": 2, "shots": [1], "seeds": [3]}
    settings = {"pretrain_dim": 64, "target_dim": 64, "sigma": 1.0}
    job["methods"] = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "settings": settings}
    }
    (place / "job.yaml").write_text(json.dumps(job))
    apc_bench(
        "sweep",
        "--no-page",
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


@pytest.fixture(scope="package")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of both detectors that can be taken along, and of one that cannot; photos are
    wider than high.
    """
    place = tmp_path_factory.mktemp("learned")
    make_category(place / "data", "part", size=48, train=4, good=3, defects=4)
    for path in (place / "data").rglob("*.png"):
        with Image.open(path) as image:
            image.resize((60, 48)).save(path)
    few = {"pretrain_dim": 64, "target_dim": 64, "coreset_ratio": 0.5}
    weighed = {**few, "sigma": 1.5, "distance": "euclidean", "reweight_neighbours": 3}
    job = {"image_size": 32, "resize": "letterbox", "reserve": 2, "shots": [1], "seeds": [3]}
    bare = {**few, "classifier_steps": 1, "classifier_views": 0, "classifier_normal_views": 0}
    job["methods"] = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "settings": weighed},
        "apc": {
            "detector": "apc",
            "backbone": "builtin",
            "settings": {**few, "steps": 2, "batch": 4},
        },
        "plus": {"detector": "apc+", "backbone": "builtin", "settings": bare},
    }
    (place / "job.yaml").write_text(json.dumps(job))
    sweep = ["sweep", "--job", place / "job.yaml", "--data", place / "data", "--device", "cpu"]
    apc_bench(*sweep, "--no-page", "--run", place / "run", "--executor", "serial")
    return place
