"""A threshold that rests on held-out images and on those that were learned from: what a run stores
sets it again.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import apc_bench, make_category

from apc_bench.metrics.controlled import Control, calibrated
from apc_bench.metrics.exact import calibrated_threshold
from apc_bench.runner.rates import Counts
from apc_bench.settings.detectors import ApcSettings, PatchCoreSettings, PRNetSettings
from apc_bench.store.run import Run

SMALL = "pretrain_dim: 16, target_dim: 16"
TRAINED = f"{SMALL}, steps: 2, batch: 4"
PLUS = f"{TRAINED}, classifier_steps: 20"
JOB = f"""
image_size: 32
reserve: 3
shots: [3]
seeds: [0]
methods:
  patchcore: {{backbone: builtin, settings: {{{SMALL}}}}}
  apc: {{detector: apc, backbone: builtin, settings: {{{TRAINED}}}}}
  plus: {{detector: apc+, backbone: builtin, settings: {{{PLUS}}}}}
  plus-alone: {{detector: apc+, backbone: builtin, settings: {{{PLUS}, calibrate_on: held_out}}}}
  prnet: {{detector: prnet, backbone: builtin, settings: {{steps: 2, batch: 4, attention_layers: 1}}}}
"""
NORMAL, HELD_OUT = 60, 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("controlled")
    make_category(place / "data", train=NORMAL, good=6, defects=9)
    (place / "job.yaml").write_text(JOB)
    places = ("--data", place / "data", "--run", place / "run", "--cache", place / "cache")
    apc_bench("sweep", "--no-page", "--job", place / "job.yaml", "--executor", "serial", *places)
    return place / "run"


def table(run: Path, kind: str, method: str) -> pl.DataFrame:
    found = pl.read_parquet(f"{run}/{kind}/**/*.parquet")
    return found.filter(method=method)


def row(run: Path, method: str) -> dict:
    return table(run, "metrics", method).filter(subset="test").row(0, named=True)


def test_what_is_stored_sets_the_threshold_again(run: Path) -> None:
    for method in ("apc", "plus"):
        scores = table(run, "scores", method)
        held_out, learned = scores.filter(split="calibration"), scores.filter(split="learned")
        assert (len(held_out), len(learned)) == (HELD_OUT, NORMAL - HELD_OUT)
        assert row(run, method)["calibration_images"] == NORMAL
        assert not set(held_out["image"]) & set(learned["image"])
        distances = [
            part["nearest_distance"].to_numpy().astype(float) for part in (held_out, learned)
        ]
        own = held_out["score"].to_numpy().astype(float)
        threshold = calibrated(own, Control(*distances), alpha=0.05).value
        assert row(run, method)["threshold"] == threshold


def test_a_score_that_is_a_distance_is_calibrated_on_all_images(run: Path) -> None:
    scores = table(run, "scores", "apc")
    every = scores.filter(pl.col("split").is_in(["calibration", "learned"]))["score"]
    assert every.null_count() == 0
    expected = calibrated_threshold(every.to_numpy().astype(float), alpha=0.05).value
    assert row(run, "apc")["threshold"] == pytest.approx(expected, rel=1e-5)


def test_apc_plus_scores_no_image_that_it_has_learned_from(run: Path) -> None:
    learned = table(run, "scores", "plus").filter(split="learned")
    assert learned["score"].null_count() == len(learned)
    assert learned["nearest_distance"].null_count() == 0


def test_a_setting_leaves_it_to_the_held_out_images_and_changes_no_score(run: Path) -> None:
    alone, plus = table(run, "scores", "plus-alone"), table(run, "scores", "plus")
    assert set(alone["split"]) == set(plus["split"]) - {"learned"}
    own = alone.filter(split="calibration")["score"].to_numpy().astype(float)
    threshold = row(run, "plus-alone")["threshold"]
    assert threshold == calibrated_threshold(own, alpha=0.05).value
    assert threshold != row(run, "plus")["threshold"]
    joined = alone.join(plus, on=["image", "split"], suffix="_other")
    assert len(joined) == len(alone)
    assert np.array_equal(joined["score"].to_numpy(), joined["score_other"].to_numpy())


@pytest.mark.parametrize(("method", "images"), [("patchcore", NORMAL), ("prnet", HELD_OUT)])
def test_what_is_frozen_or_has_no_bank_calibrates_as_ever(
    run: Path, method: str, images: int
) -> None:
    scores = table(run, "scores", method)
    assert not (scores["split"] == "learned").any()
    assert row(run, method)["calibration_images"] == images


def test_the_report_and_what_is_exported_take_images_without_a_score(
    run: Path, tmp_path: Path
) -> None:
    page = apc_bench("report", run, "--data", run.parent / "data", "--out", tmp_path / "report")
    assert (tmp_path / "report" / "index.html").is_file(), page.output
    listed = pl.read_csv(tmp_path / "report" / "scores" / "part.csv")
    assert (listed["split"] == "learned").sum() == 2 * (NORMAL - HELD_OUT)
    apc_bench("export", run, tmp_path / "maps", "--method", "plus")
    exported = pl.read_csv(tmp_path / "maps" / "scores.csv")
    assert exported["score"].null_count() == 0


def test_the_time_of_the_further_distances_is_foretold(run: Path) -> None:
    split = Run.open(run).splits.read("data", "part", 0)
    for settings, control in (
        (ApcSettings(), NORMAL - HELD_OUT),
        (ApcSettings(calibrate_on="held_out"), 0),
        (PatchCoreSettings(), 0),
        (PRNetSettings(), 0),
    ):
        assert Counts.of(split, settings).control == control
