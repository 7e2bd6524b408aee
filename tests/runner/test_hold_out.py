"""A hold-out of nothing: all normal photos are of one group, or there is a single one. What needs no
calibration is computed, what does is null with the reason, and that is said beforehand.
"""

from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

from apc_bench.metrics.catalogue import AT_THRESHOLD, METRICS
from apc_bench.store import attempts

SMALL = "pretrain_dim: 16, target_dim: 16"
TRAINED = "steps: 2, batch: 4"
METHODS = f"""
image_size: 32
methods:
  patchcore: {{backbone: builtin, settings: {{{SMALL}}}}}
  apc: {{detector: apc, backbone: builtin, settings: {{{SMALL}, {TRAINED}}}}}
  plus: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, {TRAINED}, classifier_steps: 5, weight_interpolation: 0.5, frozen_bank: 1, segmentation: 1}}}}
  prnet: {{detector: prnet, backbone: builtin, settings: {{{TRAINED}, attention_layers: 1}}}}
  halves: {{detector: apc, backbone: builtin, settings: {{{SMALL}, {TRAINED}, normals: separate}}}}
"""
FOUR = "patchcore,apc,plus,prnet"
HOLDOUT = ("--reserve", 1, "--shots", 1, "--seeds", 0)
CROSSFIT = ("--protocol", "crossfit", "--folds", 2, "--seeds", "0,1")


def photos(place: Path, *, train: int, groups: int | None = None) -> Path:
    """A category whose normal training photos are dealt to so many groups; None: each its own."""
    make_category(place / "data", train=train)
    if groups is not None:
        rows = [f"train/good/{index:03}.png,part{index % groups}" for index in range(train)]
        (place / "data" / "part" / "groups.csv").write_text(
            "image,group\n" + "\n".join(rows) + "\n"
        )
    (place / "job.yaml").write_text(METHODS)
    return place / "data"


def swept(place: Path, *options: object, methods: str = FOUR, code: int = 0) -> str:
    job = ("--job", place / "job.yaml", "--data", place / "data", "--methods", methods)
    places = ("--run", place / "run", "--cache", place / "cache", "--executor", "serial")
    return apc_bench("sweep", *job, *places, *options, code=code).output


def table(place: Path, kind: str) -> pl.DataFrame:
    return pl.read_parquet(f"{place}/run/{kind}/**/*.parquet", hive_partitioning=True)


@pytest.mark.parametrize(
    ("train", "groups", "options", "reason"),
    [
        (6, 1, HOLDOUT, "the 6 normal training images are all of one group"),
        (1, None, HOLDOUT, "a single normal training image"),
        (6, 1, CROSSFIT, "the 6 normal training images are all of one group"),
    ],
    ids=["one group", "one image", "folds"],
)
def test_only_what_needs_calibration_is_null_and_says_why(tmp_path, train, groups, options, reason):
    photos(tmp_path, train=train, groups=groups)
    assert reason in swept(tmp_path, *options)
    metrics = table(tmp_path, "metrics").filter(pl.col("subset") == "test")
    scored = table(tmp_path, "scores")
    assert set(metrics["method"]) == set(FOUR.split(","))
    for row in metrics.iter_rows(named=True):
        undefined = dict(row["undefined"])
        assert set(undefined) == {"threshold", *AT_THRESHOLD}
        assert all(reason in why for why in undefined.values())
        assert row["calibration_images"] == 0
        assert all(row[name] is not None for name in METRICS)
        own = [pl.col(name) == row[name] for name in ("method", "shots", "seed")]
        scores = scored.filter(*own, pl.col("split") == "test")
        assert row["image_auroc"] == pytest.approx(roc_auc_score(scores["label"], scores["score"]))
    notes = {row["method"]: row["notes"] for row in metrics.iter_rows(named=True)}
    assert any("changed views" in note for note in notes["plus"]), "APC+ must say its fall-back"


def test_the_table_of_thresholds_says_why_it_is_empty(tmp_path):
    photos(tmp_path, train=1)
    swept(tmp_path, *HOLDOUT, methods="patchcore")
    written = (tmp_path / "run" / "report" / "tables" / "threshold.md").read_text()
    assert "a single normal training image leaves none to hold out" in written


def test_it_is_said_before_the_start(tmp_path):
    data = photos(tmp_path, train=6, groups=1)
    found = apc_bench("data", "check", data, "--reserve", 1).output
    assert "warning: threshold: the 6 normal training images are all of one group" in found
    told = swept(tmp_path, *HOLDOUT, "--dry-run", methods="patchcore")
    assert "category 'part': the 6 normal training images are all of one group" in told


def test_it_is_not_said_of_two_groups(tmp_path):
    data = photos(tmp_path, train=6, groups=2)
    assert "all of one group" not in apc_bench("data", "check", data, "--reserve", 1).output
    told = swept(tmp_path, *HOLDOUT, "--dry-run", methods="patchcore")
    assert "hold out" not in told


def test_the_time_of_a_single_photo_can_be_estimated(tmp_path):
    photos(tmp_path, train=1)
    assert "this machine" in swept(tmp_path, *HOLDOUT, "--dry-run", methods="patchcore")


def test_a_bank_of_one_vector_calibrates_with_all(tmp_path):
    """The vector is of one of two groups, whose photos are compared with what closes its hole."""
    photos(tmp_path, train=6, groups=2)
    job = tmp_path / "job.yaml"
    job.write_text(job.read_text().replace(SMALL, f"{SMALL}, bank_max: 1"))
    swept(tmp_path, *HOLDOUT, methods="patchcore")
    calibrating = table(tmp_path, "scores").filter(pl.col("split") == "calibration")
    assert len(calibrating) == 6
    assert (calibrating["score"] > 0).all()


def test_halves_of_one_group_are_refused_in_one_line(tmp_path):
    photos(tmp_path, train=6, groups=1)
    assert "set normals: shared" in swept(tmp_path, *HOLDOUT, methods="halves", code=1)
    log = attempts.read_attempts(tmp_path / "run" / "attempts")
    assert not any(attempt.traceback for attempt in log)
