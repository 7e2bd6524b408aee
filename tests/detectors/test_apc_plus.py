"""APC+: its parts one by one, how they are added, and that the whole keeps the protocol."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

from apc_bench.detectors.fusion import Fusion, Part, ZScore, fuse
from apc_bench.networks.patch_classifier import train_classifier
from apc_bench.settings.detectors import ApcPlusSettings

SMALL = "pretrain_dim: 32, target_dim: 32, steps: 2, batch: 4, classifier_steps: 20"
JOB = f"""
image_size: 32
reserve: 2
shots: [2]
seeds: [0]
methods:
  patchcore: {{backbone: builtin, settings: {{pretrain_dim: 32, target_dim: 32}}}}
  plus: {{detector: apc+, backbone: builtin, title: APC+, settings: {{{SMALL}}}}}
  bank-alone: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, classifier: 0, classifier_image: 0}}}}
  interpolated: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, classifier: 0, classifier_image: 0, weight_interpolation: 0.5}}}}
  tuned: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, classifier: 0, classifier_image: 0, weight_interpolation: 1}}}}
  apc: {{detector: apc, backbone: builtin, settings: {{pretrain_dim: 32, target_dim: 32, steps: 2, batch: 4, weight_interpolation: 1}}}}
  untuned: {{detector: apc, backbone: builtin, settings: {{pretrain_dim: 32, target_dim: 32, steps: 2, batch: 4, weight_interpolation: 0}}}}
  two-banks: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, weight_interpolation: 1, frozen_bank: 1}}}}
  segmentation: {{detector: apc+, backbone: builtin, settings: {{{SMALL}, segmentation: 1}}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("plus")
    make_category(place / "data", train=30, good=6, defects=8)
    (place / "job.yaml").write_text(JOB)
    options = ("--job", place / "job.yaml", "--data", place / "data", "--executor", "serial")
    apc_bench("sweep", "--no-page", *options, "--run", place / "run", "--cache", place / "cache")
    return place / "run"


def scores(run, method, shots=2, split="test"):
    frame = pl.read_parquet(f"{run}/scores/**/*.parquet", hive_partitioning=True)
    return frame.filter(
        (pl.col("method") == method) & (pl.col("shots") == shots) & (pl.col("split") == split)
    ).sort("image")


def test_every_part_runs_and_is_tested_on_what_the_baseline_is_tested_on(run):
    tested = set(scores(run, "patchcore", 0)["image"])
    for method in ("plus", "bank-alone", "interpolated", "tuned", "two-banks", "segmentation"):
        assert set(scores(run, method)["image"]) == tested


def test_with_nothing_fine_tuned_apc_scores_as_patchcore_does(run):
    """The protocol costs a fine-tuned system no image: its bank holds all normal ones."""
    ours, theirs = scores(run, "untuned"), scores(run, "patchcore", 0)
    assert np.allclose(ours["score"], theirs["score"], rtol=1e-5)


def test_the_bank_alone_ranks_by_the_banks_distance(run):
    """Standardising one part changes no order: with nothing beside the bank, the ranks are those of
    its distances.
    """
    own = scores(run, "bank-alone")
    assert np.array_equal(own["score"].rank().to_numpy(), own["nearest_distance"].rank().to_numpy())


def test_the_fine_tuned_extractor_alone_ranks_as_apc_does(run):
    """The same steps, seed and normal images; only the scale of the score is another."""
    ours, theirs = scores(run, "tuned"), scores(run, "apc")
    assert np.allclose(ours["nearest_distance"], theirs["nearest_distance"], rtol=1e-4)
    assert not np.allclose(
        ours["nearest_distance"], scores(run, "interpolated")["nearest_distance"]
    )


def test_parts_are_standardised_on_the_held_out_images(run):
    """Of the bank alone, the calibration images' scores have mean 0 and deviation 1 for the bank's
    map, and once more for the whole, which is the same; they are not in the test set.
    """
    calibration = scores(run, "bank-alone", split="calibration")
    assert len(calibration) == 15
    assert abs(calibration["score"].mean()) < 1e-4
    assert calibration["score"].std(ddof=0) == pytest.approx(2, abs=1e-3)


def test_more_parts_change_the_scores(run):
    for method in ("plus", "two-banks", "segmentation"):
        assert not np.allclose(scores(run, method)["score"], scores(run, "bank-alone")["score"])


def test_a_second_frozen_bank_needs_a_fine_tuned_one_beside_it():
    with pytest.raises(ValueError, match="frozen_bank"):
        ApcPlusSettings(frozen_bank=1)


def test_methods_that_differ_in_weights_alone_share_a_training():
    assert (
        ApcPlusSettings(classifier=0.5, sigma=2).training()
        == ApcPlusSettings(classifier=2).training()
    )
    assert (
        ApcPlusSettings(weight_interpolation=0.3).training()
        == ApcPlusSettings(weight_interpolation=0.6).training()
    )
    assert ApcPlusSettings().training() != ApcPlusSettings(classifier_steps=7).training()
    assert ApcPlusSettings().training() != ApcPlusSettings(target_dim=64).training()
    assert (
        ApcPlusSettings(weight_interpolation=1).training()
        != ApcPlusSettings(weight_interpolation=1, steps=7).training()
    )
    assert ApcPlusSettings().training() == ApcPlusSettings(steps=7).training()


def test_fusing_is_the_weighted_sum_of_standard_scores():
    generator = np.random.default_rng(0)
    normal = [generator.normal(size=(30, 4, 4)).astype(np.float32) * scale for scale in (1, 50)]
    tested = [generator.normal(size=(5, 4, 4)).astype(np.float32) * scale for scale in (1, 50)]
    parts = [
        Part(ZScore.of(one), weight, image)
        for one, weight, image in zip(normal, (1, 0.5), (1, 0.25), strict=True)
    ]
    maps, found = fuse(tested, Fusion(parts))
    wanted = sum(
        w * (t - n.mean()) / n.std() for t, n, w in zip(tested, normal, (1, 0.5), strict=True)
    )
    tops = [
        (t.max((1, 2)) - n.max((1, 2)).mean()) / n.max((1, 2)).std()
        for t, n in zip(tested, normal, strict=True)
    ]
    assert np.allclose(maps, wanted, atol=1e-4)
    assert np.allclose(found, tops[0] + 0.25 * tops[1], atol=1e-4)
    same, with_whole = fuse(tested, Fusion.of(normal, parts, 0.5))
    whole, _ = fuse(normal, Fusion(parts))
    top = whole.max((1, 2))
    assert np.array_equal(same, maps)
    more = 0.5 * (maps.max((1, 2)) - top.mean()) / top.std()
    assert np.allclose(with_whole, found + more, atol=1e-4)


def test_a_single_calibration_image_gives_finite_scores():
    one = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    parts = [Part(ZScore.of(one), 1, 1), Part(ZScore.of(np.zeros_like(one)), 1, 1)]
    maps, found = fuse([one, one], Fusion.of([one, one], parts, 1))
    assert np.isfinite(maps).all() and np.isfinite(found).all()


def test_the_patch_classifier_separates_and_repeats_itself():
    generator = torch.Generator().manual_seed(0)
    normal, anomalous = (
        torch.randn((400, 16), generator=generator),
        torch.randn((20, 16), generator=generator),
    )
    anomalous[:, 3] += 4
    settings = ApcPlusSettings(classifier_steps=100)
    one, losses = train_classifier(normal, anomalous, settings, seed=1)
    two, _ = train_classifier(normal, anomalous, settings, seed=1)
    fresh = torch.randn((200, 16), generator=generator)
    fresh[:100, 3] += 4
    with torch.inference_mode():
        logits = one(fresh)
        assert torch.equal(logits, two(fresh))
    assert roc_auc_score([1] * 100 + [0] * 100, logits.numpy()) > 0.97
    assert losses[-1] < 0.5 * losses[0]


def test_without_any_mask_the_classifier_is_off_and_says_so(tmp_path):
    make_category(tmp_path / "data", masks=False, train=12, defects=5)
    (tmp_path / "job.yaml").write_text(JOB)
    options = (
        "--job",
        tmp_path / "job.yaml",
        "--data",
        tmp_path / "data",
        "--methods",
        "plus",
        "--executor",
        "serial",
    )
    apc_bench(
        "sweep", "--no-page", *options, "--run", tmp_path / "run", "--cache", tmp_path / "cache"
    )
    notes = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True)[
        "notes"
    ].explode()
    assert any("the patch classifier is off" in note for note in notes)
