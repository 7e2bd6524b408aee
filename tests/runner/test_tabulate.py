"""What a trial's tables say: anyone can recompute every figure from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from processes import scores_of
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from support import apc_bench, make_category, small_job

from apc_bench import RESULT_VERSION
from apc_bench.store.run import Run

GOLDEN = Path(__file__).parents[1] / "golden_scores.json"


def pixel_truth(
    run: Path, data: Path, category: str, seed: int, images: list[str], size: int
) -> dict[str, np.ndarray]:
    """Masks at input size, read from the dataset with PIL alone."""
    split = pl.read_parquet(f"{run}/splits/synthetic/{category}/seed-{seed}/split.parquet")
    masks = dict(split.select("image", "mask").iter_rows())
    truth = {}
    for image in images:
        if masks[image] is None:
            truth[image] = np.zeros((size, size), bool)
        else:
            mask = (
                Image.open(data / category / masks[image])
                .convert("L")
                .point(lambda value: 255 * (value >= 128))
            )
            truth[image] = np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)) > 0
    return truth


def folders_of(row: dict[str, Any]) -> Path:
    """Where a trial's files lie."""
    names = (row[name] for name in ("dataset", "category", "method"))
    return Path(*names, f"shots-{row['shots']}", f"seed-{row['seed']}")


def test_every_metric_can_be_recomputed_from_scores_and_maps_with_polars_and_scikit_learn(tiny):
    data = Path(json.loads((tiny / "run.json").read_text())["data"])
    metrics = pl.read_parquet(f"{tiny}/metrics/**/*.parquet", hive_partitioning=True).filter(
        pl.col("subset") == "test"
    )
    assert len(metrics) == 16
    for row in metrics.iter_rows(named=True):
        keys = folders_of(row)
        file = f"{row['result_key']}.parquet"
        scores = pl.read_parquet(tiny / "scores" / keys / file).filter(pl.col("split") == "test")
        label, score = scores["label"].to_numpy(), scores["score"].to_numpy()
        assert row["image_auroc"] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert row["image_ap"] == pytest.approx(average_precision_score(label, score), abs=1e-12)
        assert row["image_f1_max"] == pytest.approx(f1_max(label, score), abs=1e-12)

        path = tiny / "maps" / keys / file
        metadata = {
            key.decode(): value.decode() for key, value in pq.read_schema(path).metadata.items()
        }
        height, width = map(int, metadata["apc_bench.grid"].split("x"))
        size, sigma = int(metadata["apc_bench.image_size"]), float(metadata["apc_bench.sigma"])
        maps = {
            image: np.array(values, np.float32).reshape(height, width)
            for image, values in pl.read_parquet(path).select("image", "map").iter_rows()
        }
        images = scores["image"].to_list()
        truth = pixel_truth(tiny, data, row["category"], row["seed"], images, size)
        usable = [
            image
            for image, state in zip(images, scores["mask_state"], strict=True)
            if state in ("normal", "present")
        ]
        grown = [
            Image.fromarray(maps[image]).resize((size, size), Image.Resampling.BILINEAR)
            for image in usable
        ]
        pixels = np.concatenate([gaussian_filter(np.asarray(one), sigma).ravel() for one in grown])
        truth = np.concatenate([truth[image].ravel() for image in usable])
        assert row["pixel_auroc"] == pytest.approx(roc_auc_score(truth, pixels), abs=1e-9)
        assert row["pixel_ap"] == pytest.approx(average_precision_score(truth, pixels), abs=1e-9)
        assert row["pixel_f1_max"] == pytest.approx(f1_max(truth, pixels), abs=1e-9)


def f1_max(label: np.ndarray, score: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(label, score)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max())


def test_the_calibrated_threshold_never_saw_the_test_set(tiny):
    for row in Run.open(tiny).metrics().filter(pl.col("subset") == "test").iter_rows(named=True):
        scores = Run.open(tiny).scores(row["result_key"])
        calibration = scores.filter(pl.col("split").is_in(["calibration", "learned"]))
        assert len(calibration) == row["calibration_images"]
        assert not set(calibration["image"]) & set(
            scores.filter(pl.col("split") == "test")["image"]
        )
        # ten images cannot calibrate 5 % false alarms, and the table says so instead of giving a
        # number
        assert row["threshold"] is None
        assert "calibration images" in dict(row["undefined"])["threshold"]


def test_the_bank_can_be_read_back_with_its_origins(tiny):
    row = (
        Run.open(tiny)
        .metrics()
        .filter((pl.col("subset") == "test") & (pl.col("method") == "patchcore"))
        .to_dicts()[0]
    )
    bank = pl.read_parquet(tiny / "features" / folders_of(row) / f"{row['result_key']}.parquet")
    assert len(bank) == row["bank_vectors"]
    assert bank["vector"].dtype == pl.Array(pl.Float32, 64)
    scores = Run.open(tiny).scores(row["result_key"]).filter(pl.col("split") == "test")
    assert set(scores["nearest_image"]) <= set(bank["image"])
    nearest = scores.select("nearest_image", "nearest_row", "nearest_column").to_dicts()
    origins = set(bank.select("image", "row", "column").iter_rows())
    assert all(tuple(place.values()) in origins for place in nearest)


def test_duckdb_reads_a_run_without_this_project(tiny):
    import duckdb

    found = duckdb.sql(
        f"select method, count(*) from read_parquet('{tiny}/scores/**/*.parquet',"
        " hive_partitioning=true) where split = 'test' group by method"
    )
    assert {method for method, _ in found.fetchall()} == {"apc", "patchcore"}


def test_scores_change_only_with_the_result_version(tiny):
    """Golden scores of the tiny job. Other processors round differently, so they agree to a few
    digits, not to the bit.
    """
    frame = scores_of(tiny).filter(
        (pl.col("split") == "test") & (pl.col("seed") == 0) & (pl.col("category") == "washer")
    )
    got = {
        f"{method}/{shots}/{image}": score
        for method, shots, image, score in frame.select(
            "method", "shots", "image", "score"
        ).iter_rows()
    }
    golden = json.loads(GOLDEN.read_text())
    assert golden["result_version"] == RESULT_VERSION, (
        "scores changed on purpose: write new golden scores"
    )
    assert got.keys() == golden["scores"].keys()
    for name, score in golden["scores"].items():
        assert got[name] == pytest.approx(score, rel=2e-2), (
            f"{name}: scores changed, so RESULT_VERSION must change"
        )


def test_a_category_without_masks_has_image_metrics_only_and_says_why(tmp_path):
    make_category(tmp_path / "data", masks=False)
    places = ("--data", tmp_path / "data", "--cache", tmp_path / "c", "--run", tmp_path / "run")
    apc_bench("sweep", "--no-page", "--job", small_job(tmp_path), "--executor", "serial", *places)
    metrics = Run.open(tmp_path / "run").metrics().filter(pl.col("subset") == "test")
    assert len(metrics) == 2
    for row in metrics.iter_rows(named=True):
        assert row["image_auroc"] is not None
        assert row["pixel_auroc"] is None
        assert row["au_pro"] is None
        assert dict(row["undefined"])["pixel_auroc"] == "no anomalous image has a mask"
    tuned = metrics.filter(pl.col("method") == "apc").to_dicts()[0]
    assert "no drawn image has a usable mask: the segmentation loss is off" in tuned["notes"]


def test_masks_that_the_resize_emptied_are_not_called_absent(tmp_path):
    """One pixel of 96 × 96, which no pixel of 32 × 32 is taken from."""
    data = make_category(tmp_path / "data", size=96)
    for path in (data / "part" / "ground_truth").rglob("*.png"):
        mask = np.zeros((96, 96), np.uint8)
        mask[0, 0] = 255
        Image.fromarray(mask).save(path)
    job = tmp_path / "job.yaml"
    method = "{backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}"
    job.write_text(
        f"image_size: 32\nreserve: 2\nshots: [1]\nseeds: [0]\nmethods: {{patchcore: {method}}}\n"
    )
    places = ("--data", data, "--cache", tmp_path / "c", "--run", tmp_path / "run")
    apc_bench("sweep", "--no-page", "--job", job, "--executor", "serial", *places)
    row = Run.open(tmp_path / "run").metrics().filter(pl.col("subset") == "test").to_dicts()[0]
    assert row["emptied"] == row["anomalous"] > 0 == row["masked"]
    assert row["pixel_auroc"] is None and row["image_auroc"] is not None
    reason = "the resize left no anomalous pixel in any mask; a larger image_size keeps more"
    assert dict(row["undefined"])["pixel_auroc"] == reason
