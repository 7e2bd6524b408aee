"""A defect type that holds normal photos is told by its scores; a hard one is not called so."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

from apc_bench.statistics.auroc_interval import auroc_limits

JOB = """
image_size: 32
reserve: 2
shots: [1]
seeds: [0, 1]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
"""


def category(root: Path, kinds: dict[str, float]) -> Path:
    """Twelve normal test images, six dents that show, and ten images of each kind, in which a share
    of the images has a dent.
    """
    make_category(root, train=24, good=12, defects=6)
    generator = np.random.default_rng(4)
    for kind, share in kinds.items():
        place = root / "part/test" / kind
        place.mkdir()
        for number in range(10):
            pixels = generator.integers(0, 100, (32, 32, 3), np.uint8)
            if number < 10 * share:
                pixels[8:16, 8:16] = 255 - number
            Image.fromarray(pixels).save(place / f"{number}.png")
    return root


def swept(tmp_path: Path, data: Path) -> tuple[str, str]:
    """What a sweep prints, and its page."""
    (tmp_path / "job.yaml").write_text(JOB)
    places = ("--run", tmp_path / "run", "--cache", tmp_path / "cache", "--executor", "serial")
    output = apc_bench("sweep", "--job", tmp_path / "job.yaml", "--data", data, *places).output
    return output, (tmp_path / "run/report/index.html").read_text()


def test_a_type_of_normal_photos_is_named_and_others_are_not(tmp_path):
    output, page = swept(
        tmp_path, category(tmp_path / "data", {"fine": 0, "half": 0.5, "scratch": 1})
    )
    (note,) = [line for line in output.splitlines() if line.startswith("note: part: ")]
    assert "the 10 images of 'fine' score like normal ones" in note
    assert "Like normal" in page and "are they photos of defects?" in page
    again = apc_bench("report", tmp_path / "run").output
    assert note in again.splitlines()


def test_where_no_type_stands_out_nothing_is_said(tmp_path):
    """A detector that finds nothing says nothing of a type."""
    data = category(tmp_path / "data", {"fine": 0})
    for folder in ("test/dent", "ground_truth/dent"):
        for path in (data / "part" / folder).iterdir():
            path.unlink()
    output, page = swept(tmp_path, data)
    assert "note: part" not in output and "Like normal" not in page


@pytest.mark.parametrize(("shift", "images"), [(0.0, (10, 12)), (1.0, (12, 20)), (1.7, (25, 30))])
def test_the_limits_of_an_auroc_hold_as_often_as_they_say(shift, images):
    """Normal scores `shift` apart: each limit fails in about one of ten samples."""
    generator = np.random.default_rng(0)
    truth = 0.5 * (1 + math.erf(shift / 2))
    below = above = 0
    labels = np.repeat([1, 0], images)
    for _ in range(800):
        scores = generator.normal(size=sum(images)) + shift * labels
        low, high = auroc_limits(float(roc_auc_score(labels, scores)), *images)
        below += truth < low
        above += truth > high
    assert 0.05 < below / 800 < 0.15
    assert 0.05 < above / 800 < 0.15


def test_an_auroc_of_one_has_a_lower_limit_below_it():
    low, high = auroc_limits(1.0, 9, 20)
    assert 0.75 < low < 0.99 and high == 1
    mirrored = auroc_limits(0.0, 20, 9)
    assert mirrored == pytest.approx((0, 1 - low), abs=1e-6)
