"""One part, its files kept in many ways: every sweep reads the same photos and the same defects, and
its metrics are those of what is really there.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from support import PATCHCORE_JOB, apc_bench

from apc_bench.datasets.decoding import decode_into
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.recognise import recognise

SIDE = 32


def part() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Grey photos (32, 32) uint8 by path without ending, and the defects of the anomalous ones."""
    generator = np.random.default_rng(3)
    photos, defects = {}, {}
    for folder, count in (("train/good", 8), ("test/good", 4), ("test/dent", 5)):
        for number in range(count):
            pixels = generator.integers(90, 130, (SIDE, SIDE), np.uint8)
            if folder == "test/dent":
                mask = np.zeros((SIDE, SIDE), bool)
                mask[4:14, 6 + number : 18 + number] = True
                mask[20:26, 24:29] = True
                pixels[mask] = 90 - 9 * number
                defects[f"{folder}/{number}"] = mask
            photos[f"{folder}/{number}"] = pixels
    return photos, defects


PHOTOS, DEFECTS = part()


def opaque(pixels: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([pixels, pixels, pixels, alpha]).astype(np.uint8))


def write(root: Path, kind: str) -> None:
    """The part as category `kind`."""
    for name, pixels in PHOTOS.items():
        photo, options, ending = Image.fromarray(pixels), {}, "png"
        if kind == "see-through":
            photo = opaque(pixels, np.zeros_like(pixels))
        elif kind == "twelve-bits":
            photo = Image.fromarray(np.rint(pixels * (4095 / 255)).astype(np.uint16))
            ending = "tif"
        elif kind == "turned" and name.startswith("test"):
            exif = Image.Exif()
            exif[0x0112] = 6  # shown after a quarter turn clockwise
            photo, options = photo.transpose(Image.Transpose.ROTATE_90), {"exif": exif}
        path = root / kind / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.save(path, **options)
    for number, (name, mask) in enumerate(DEFECTS.items()):
        drawn = Image.fromarray(np.uint8(mask) * 255)
        if kind == "alpha":
            drawn = opaque(np.full((SIDE, SIDE), 255), mask * 255)
        elif kind == "ids":
            values = mask * 50
            values[20:26, 24:29] = 50 + 150 * (number % 2)
            drawn = Image.fromarray(np.uint8(values))
        elif kind == "colours":
            drawn = Image.fromarray(
                np.uint8(mask[..., None] * [(0, 90, 0), (200, 0, 0)][number % 2])
            )
        path = root / kind / "ground_truth" / f"{name.removeprefix('test/')}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path)


KINDS = ("plain", "see-through", "twelve-bits", "turned", "alpha", "ids", "colours")


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("kinds")
    for kind in KINDS:
        write(place / "data", kind)
    (place / "job.yaml").write_text(PATCHCORE_JOB)
    options = ("--job", place / "job.yaml", "--data", place / "data", "--cache", place / "cache")
    ran = apc_bench("sweep", *options, "--run", place / "run", "--executor", "serial")
    return place / "run", ran.output


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_those_of_the_photos_and_defects_that_are_there(swept, kind):
    run, _ = swept
    own = pl.col("category") == kind
    (maps,) = run.glob(f"maps/*/{kind}/**/*.parquet")
    sigma = float(pq.read_schema(maps).metadata[b"apc_bench.sigma"])
    scores = read(run, "scores").filter(own, pl.col("split") == "test")
    metrics = read(run, "metrics").filter(own, pl.col("subset") == "test").row(0, named=True)
    label = ["dent" in image for image in scores["image"]]
    assert metrics["image_auroc"] == pytest.approx(roc_auc_score(label, scores["score"]))
    pixels, truth = [], []
    tested = pl.col("image").is_in(scores["image"].to_list())
    for image, values in read(run, "maps").filter(own, tested).select("image", "map").iter_rows():
        name = str(Path(image).with_suffix(""))
        side = round(len(values) ** 0.5)
        grid = Image.fromarray(np.array(values, np.float32).reshape(side, side))
        grown = grid.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pixels.append(gaussian_filter(np.asarray(grown), sigma).ravel())
        truth.append(DEFECTS.get(name, np.zeros((SIDE, SIDE), bool)).ravel())
    expected = roc_auc_score(np.concatenate(truth), np.concatenate(pixels))
    assert metrics["pixel_auroc"] == pytest.approx(expected, abs=1e-9)


def read(run: Path, kind: str) -> pl.DataFrame:
    return pl.read_parquet(f"{run}/{kind}/**/*.parquet", hive_partitioning=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_detector_sees_is_the_same_however_files_are_kept(swept, kind):
    run, _ = swept
    (category,) = read_dataset(run.parent / "data", categories=[kind]).categories
    masked = [sample for sample in category.samples if sample.mask]
    encoding = recognise(
        category.folder,
        [sample.image for sample in category.samples],
        [(sample.image, sample.mask) for sample in masked],
    )
    images = np.zeros((len(PHOTOS), 3, SIDE, SIDE), np.uint8)
    masks = np.zeros((len(PHOTOS), SIDE, SIDE), np.bool_)
    category = replace(category, encoding=encoding)
    _, _, bad = decode_into(category, Geometry(SIDE, "square"), images, masks, threads=2)
    assert not bad
    for sample, image, mask in zip(category.samples, images, masks, strict=True):
        name = str(Path(sample.image).with_suffix(""))
        assert np.array_equal(image, np.broadcast_to(PHOTOS[name], (3, SIDE, SIDE)))
        assert np.array_equal(mask, DEFECTS.get(name, np.zeros((SIDE, SIDE), bool)))


def test_the_start_the_run_and_the_tables_say_how_files_were_read(swept):
    run, output = swept
    recorded = json.loads((run / "run.json").read_text())["encodings"]
    assert set(recorded) == set(KINDS) - {"plain"}
    tables = (run / "report" / "tables" / "poster.md").read_text()
    page = (run / "report" / "index.html").read_text()
    for kind, note in {
        "see-through": "17 images with the same alpha everywhere: it is ignored",
        "twelve-bits": "are read as 12 bits",
        "turned": "9 photos turned as the EXIF data asks",
        "alpha": "masks: what is opaque is anomalous",
        "ids": "masks: label ids, of which any above 0 is anomalous",
        "colours": "masks: every colour but black is anomalous",
    }.items():
        assert f"category '{kind}': " in output
        for place in (output, tables, page):
            assert note in place
