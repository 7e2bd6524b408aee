"""A detector in one file: scored by its script in a process that cannot import apc_bench, it gives
the run's scores.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from fabricated_run import fabricate
from PIL import Image
from support import apc_bench, make_category

from apc_bench.bank import patches
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.errors import UsageError
from apc_bench.export import score
from apc_bench.export.chosen import Choice
from apc_bench.export.detector import export_detector
from apc_bench.metrics.evaluation import pixel_scores
from apc_bench.results.reading import read_results
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run

WITHOUT = "import sys, runpy; sys.modules['apc_bench'] = None; sys.argv.pop(0); "
CLOSE = 1e-5
"""Relative; float32 in other batches gives some 1e-7."""


def scores_of(run: Path, method: str) -> pl.DataFrame:
    results = read_results(Run.open(run))
    (key,) = (
        trial.result_key
        for (system, category, _), trial in results.trials.items()
        if (system.method, category) == (method, "part")
    )
    assert key
    return Run.open(run).scores(key).filter(pl.col("split") == "test")


def test_the_script_gives_the_runs_scores_without_apc_bench(learned: Path, tmp_path: Path) -> None:
    out = tmp_path / "apc"
    asked = ["export", learned / "run", out, "--detector", "apc", "--category", "part"]
    told = apc_bench(*asked, "--cache", tmp_path / "cache").output
    assert "did not keep its memory banks" in told
    assert "filled again from 4 training images" in told
    assert "no threshold: " in told
    table = scores_of(learned / "run", "apc")
    photos = [str(learned / "data" / "part" / image) for image in table["image"]]
    # Isolated: neither this folder nor PYTHONPATH is looked at.
    code = WITHOUT + "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-c", code, str(out / "score.py"), *photos]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [path for *_, path in lines] == photos
    assert {verdict for _, verdict, _ in lines} == {"no threshold"}
    found = np.array([float(score) for score, *_ in lines])
    np.testing.assert_allclose(found, table["score"].to_numpy(), rtol=CLOSE)


def test_a_kept_bank_needs_no_training_photo_and_maps_are_those_of_the_metrics(
    learned: Path, tmp_path: Path
) -> None:
    sweep = ["sweep", "--job", learned / "job.yaml", "--data", learned / "data", "--device", "cpu"]
    only = ["--no-page", "--methods", "patchcore", "--features", "bank"]
    apc_bench(*sweep, *only, "--run", tmp_path / "run", "--executor", "serial")
    out = tmp_path / "file"
    patches._kernel.cache_clear()  # as in a new process
    (learned / "data").rename(learned / "away")
    try:
        told = apc_bench("export", tmp_path / "run", out, "--detector", "patchcore").output
    finally:
        (learned / "away").rename(learned / "data")
    ones = [torch.ones(1, 64, 4, 4), torch.ones(1, 128, 2, 2)]
    means = patches.patch_features(ones, neighbourhood=3, pretrain_dim=64, target_dim=64)
    assert means.max() <= 1.001  # what was traced has left nothing behind
    assert "kept by the run" in told and "not checked: no test photo" in told
    about = json.loads((out / "about.json").read_text())
    assert about["input"]["resize"] == "letterbox" and about["threshold"] is None
    detector = torch.export.load(out / "detector.pt2").module()
    run = Run.open(tmp_path / "run")
    (key,) = [row["result_key"] for row in run.plan().to_dicts()]
    names, maps = run.maps(key)
    pixels = [letterboxed(learned / "data" / "part" / name) for name in names]
    with torch.inference_mode():
        scores, found = detector(torch.from_numpy(np.stack(pixels)))  # all at once
    table = run.scores(key)
    known = dict(table.select("image", "score").iter_rows())
    np.testing.assert_allclose(scores.numpy(), [known[name] for name in names], rtol=CLOSE)
    wanted = pixel_scores(maps, 32, 1.5)  # of maps that the run keeps in float16
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-3)


def test_one_detector_is_of_one_category(tmp_path: Path) -> None:
    fabricated = fabricate(tmp_path)
    results = read_results(fabricated)
    trials = Choice("apc", 5, None, None).trials(results)
    lines = export_detector(results, fabricated, trials, Cache(tmp_path), None, tmp_path / "a")
    with pytest.raises(UsageError, match="--category takes one of granite, weave"):
        next(lines)


ODD = {
    "turned.jpg": ("RGB", 6),
    "grey.png": ("L", None),
    "palette.png": ("P", None),
    "bits.png": ("I;16", None),
    "glass.png": ("RGBA", None),
    "opaque.png": ("RGBA", None),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("resize", ["square", "letterbox", "crop"])
def test_the_script_reads_photos_as_the_sweep_does(tmp_path: Path, name: str, resize) -> None:
    mode, turn = ODD[name]
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (37, 90, 4), np.uint8)
    if name == "opaque.png":
        pixels[..., 3] = 77  # the same everywhere says nothing
    image = Image.fromarray(pixels if mode == "RGBA" else pixels[..., :3])
    if mode == "I;16":
        image = Image.fromarray(generator.integers(0, 4096, (37, 90), np.uint16))
    exif = Image.Exif()
    if turn:
        exif[0x0112] = turn
    image.convert(mode).save(tmp_path / name, exif=exif)
    geometry = Geometry(64, resize, "bilinear")
    wanted = geometry.apply(read_image(tmp_path / name, 12))
    asked = {"side": 64, "resize": resize, "interpolation": "bilinear", "bits": 12}
    found = score.pixels_of(str(tmp_path / name), **asked)
    assert (found[0].permute(1, 2, 0).numpy() == wanted).all()


def letterboxed(path: Path) -> np.ndarray:
    """A photo of 60 × 48 in a square of 32: 32 × 26 pixels between black borders of 3."""
    square = np.zeros((3, 32, 32), np.uint8)
    with Image.open(path) as image:
        inner = np.asarray(image.convert("RGB").resize((32, 26), Image.Resampling.BICUBIC))
    square[:, 3:29] = inner.transpose(2, 0, 1)
    return square


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["plus", "--category", "part"], "'plus' (apc+) is more than a memory bank"),
        (["acp", "--category", "part"], "did you mean 'apc'?"),
        (["apc", "--category", "prat"], "did you mean 'part'?"),
        (["apc", "--category", "part", "--method", "apc"], "--detector and --method ask for"),
        (["apc", "--category", "part", "--data", "."], "the training photos of 'part' are not in"),
    ],
)
def test_what_cannot_be_taken_along_is_said_in_a_line(
    learned: Path, tmp_path: Path, asked: list[str], words: str
) -> None:
    told = apc_bench("export", learned / "run", tmp_path / "a", "--detector", *asked, code=2).output
    assert words in told
    assert not (tmp_path / "a").exists()


def test_a_bank_is_not_filled_from_other_photos_than_the_runs(
    learned: Path, tmp_path: Path
) -> None:
    make_category(tmp_path / "data", "part", size=48, train=5, good=3, defects=4)
    asked = ["export", learned / "run", tmp_path / "a", "--detector", "apc", "--category", "part"]
    told = apc_bench(*asked, "--data", tmp_path / "data", code=2).output
    assert "are not those that the run was made with" in told
