"""One image of a run as pictures: what they show, and what is said where there are none."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from support import apc_bench

from apc_bench.results.aggregate import Results
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return read_results(Run.open(run))


def test_photo_mask_map_and_overlay_are_of_the_photos_size(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "picture"
    told = apc_bench("export", run, out, "--image", "dent/001.png").output
    assert "pictures of part/test/dent/001.png, seed 3" in told
    folder = run.parent / "data" / "part"
    photo, mask = picture(out / "photo.png"), picture(out / "mask.png")
    assert (photo == picture(folder / "test/dent/001.png")).all()
    assert (mask == picture(folder / "ground_truth/dent/001_mask.png")).all()
    drawn, over = picture(out / "map-patchcore.png"), picture(out / "overlay-patchcore.png")
    assert drawn.shape == over.shape == (48, 48, 3)
    bright = drawn.astype(int).sum(axis=2)
    assert roc_auc_score(mask.ravel() > 0, bright.ravel()) > 0.9
    assert (drawn[0, 0] == drawn[:3]).all()  # beyond the crop of 42 of 48 pixels
    assert (over[:3] == photo[:3]).all()
    # The outline is white, and runs within the mask.
    line = (over == 255).all(axis=2)
    assert line.any() and not line[mask == 0].any()
    assert line[12, 12:24].all() and not line[14:22, 14:22].any()


def test_the_scores_beside_the_pictures_are_the_runs(
    run: Path, results: Results, tmp_path: Path
) -> None:
    out = tmp_path / "picture"
    told = apc_bench("export", run, out, "--image", "part/test/good/002.png").output
    about = json.loads((out / "about.json").read_text())
    (trial,) = results.trials.values()
    assert trial.result_key
    table = Run.open(run).scores(trial.result_key).filter(pl.col("image") == "test/good/002.png")
    (shown,) = about["systems"].values()
    assert shown["score"] == table["score"].item()
    assert f"score {shown['score']:.4g}, no threshold" in told
    assert not (out / "mask.png").exists()  # a normal image


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dent/00l.png", "no image 'dent/00l.png' in part; near: part/test/dent/00"),
        ("dennt/001.png", "near: part/test/dent/001.png"),
        ("nothing like it", "such as part/test/dent/000.png"),
        ("001.png", "2 images end in '001.png': part/test/dent/001.png, part/test/good"),
        ("train/good/001.png", "is a training image"),
    ],
)
def test_a_name_that_is_no_test_image_is_answered_with_near_ones(
    run: Path, tmp_path: Path, name: str, words: str
) -> None:
    told = apc_bench("export", run, tmp_path / "a", "--image", name, code=2).output
    assert words in told and told.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_where_the_photos_are_not_at_hand_one_line_says_so(run: Path, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    asked = ["export", run, tmp_path / "a", "--image", "dent/001"]
    told = apc_bench(*asked, "--data", tmp_path, code=2).output
    assert f"the photo {tmp_path}/part/test/dent/001.png is not at hand; --data DIR" in told
    other = tmp_path / "other"
    shutil.copytree(run.parent / "data", other)
    Image.new("RGB", (50, 48)).save(other / "part/test/dent/001.png")
    told = apc_bench(*asked, "--data", other, code=2).output
    assert "has 50 × 48 pixels now, and 48 × 48 in the run" in told
    assert "no such folder" in apc_bench(*asked, "--data", tmp_path / "gone", code=2).output
    assert not (tmp_path / "a").exists()
