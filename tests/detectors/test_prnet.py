"""PRNet through the command line: the same split, metrics and report as the others, and nothing
that it does not have.
"""

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

JOB = """
image_size: 32
reserve: 2
shots: [1, 2]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  prnet: {detector: prnet, backbone: builtin, title: PRNet, settings: {steps: 3, batch: 4}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("prnet")
    make_category(place / "data", train=24, defects=6)
    (place / "job.yaml").write_text(JOB)
    apc_bench(
        "sweep",
        "--no-page",
        "--job",
        place / "job.yaml",
        "--data",
        place / "data",
        "--executor",
        "serial",
        "--run",
        place / "run",
        "--cache",
        place / "cache",
    )
    return place / "run"


def scores(run, method, shots):
    frame = pl.read_parquet(f"{run}/scores/**/*.parquet", hive_partitioning=True)
    return frame.filter((pl.col("method") == method) & (pl.col("shots") == shots)).sort("image")


def test_it_is_tested_on_what_the_baseline_is_tested_on(run):
    tested = [
        set(scores(run, *which).filter(pl.col("split") == "test")["image"])
        for which in (("patchcore", 0), ("prnet", 1), ("prnet", 2))
    ]
    assert tested[0] and tested[0] == tested[1] == tested[2]


def test_it_keeps_no_memory_bank_and_so_names_no_nearest_patch(run):
    own = scores(run, "prnet", 2)
    assert own["nearest_image"].null_count() == len(own)
    assert scores(run, "patchcore", 0)["nearest_image"].null_count() == 0


def test_its_metrics_are_those_of_its_stored_scores(run):
    metrics = pl.read_parquet(f"{run}/metrics/**/*.parquet", hive_partitioning=True).filter(
        (pl.col("method") == "prnet") & (pl.col("subset") == "test")
    )
    for row in metrics.iter_rows(named=True):
        tested = scores(run, "prnet", row["shots"]).filter(pl.col("split") == "test")
        assert row["image_auroc"] == pytest.approx(
            roc_auc_score(tested["label"], tested["score"]), abs=1e-12
        )
        assert row["bank_vectors"] is None and row["calibration_images"] == 12
        assert row["pixel_auroc"] is not None


def test_its_maps_are_logits_at_half_the_inputs_size_and_the_score_is_of_the_largest(run):
    path = next((run / "maps").rglob("prnet/shots-2/**/*.parquet"))
    table = pq.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert metadata["apc_bench.unit"] == "logit" and metadata["apc_bench.grid"] == "16x16", (
        json.dumps(metadata)
    )
    frame = pl.from_arrow(table).join(scores(run, "prnet", 2), on="image")
    largest = np.array([max(values) for values in frame["map"].to_list()])
    worst = [
        values[row * 16 + column]
        for values, row, column in zip(
            frame["map"].to_list(), frame["worst_row"], frame["worst_column"], strict=True
        )
    ]
    assert np.allclose(largest, worst, atol=1e-2)


def test_a_second_run_repeats_every_bit(run, tmp_path):
    place = run.parent
    options = (
        "--job",
        place / "job.yaml",
        "--data",
        place / "data",
        "--methods",
        "prnet",
        "--executor",
        "serial",
    )
    apc_bench(
        "sweep", "--no-page", *options, "--run", tmp_path / "run", "--cache", tmp_path / "cache"
    )
    assert (
        scores(tmp_path / "run", "prnet", 2)
        .drop("seconds")
        .equals(scores(run, "prnet", 2).drop("seconds"))
    )
