"""Drawn images against unseen anomalies: against scikit-learn, brute force and a real run's files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from apc_bench.results.memorisation import GROUPS, memorisations
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run

Make = Callable[..., Any]


def test_of_a_real_run_the_auroc_is_that_of_its_files_and_no_image_is_in_two_groups(
    small_run: Path,
) -> None:
    run = Run.open(small_run)
    (found,) = memorisations(read_results(run), run)
    assert (found.system.method, found.system.shots) == ("apc", 2)
    assert len(found.trials) == 2 * 3
    scores = pl.read_parquet(f"{small_run}/scores/**/*.parquet", hive_partitioning=True)
    split = pl.read_parquet(f"{small_run}/splits/**/*.parquet", hive_partitioning=True)
    for (category, seed), trial in found.trials.items():
        place = (pl.col("category") == category) & (pl.col("seed") == seed)
        rows = scores.filter(place & (pl.col("method") == "apc"))
        trained_on = split.filter(place & (pl.col("draw") < 2))["image"]
        seen = rows.filter(pl.col("image").is_in(trained_on.implode()))["score"].to_list()
        tested = rows.filter(pl.col("split") == "test")
        unseen = tested.filter("label")["score"].to_list()
        truth = [1] * len(seen) + [0] * len(unseen)
        assert len(seen) == 2
        assert trial.auroc == pytest.approx(roc_auc_score(truth, [*seen, *unseen]))
        assert found.aurocs[category][seed] == trial.auroc
        undrawn = rows.filter(pl.col("split") == "reserved")
        assert len(undrawn) == 4 - 2
        learned = rows.filter(pl.col("split") == "learned")
        assert sum(map(len, trial.by_group.values())) == len(rows) - len(undrawn) - len(learned)


def test_ties_count_half_and_scores_are_scaled_by_the_normal_test_images(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(2,), seeds=(0,))
    (key,) = [key for key in run.score_rows if key.startswith("apc")]
    generator = np.random.default_rng(0)
    for row in run.score_rows[key]:
        row["score"] = float(generator.integers(-3, 4))  # logits may be negative
    (found,) = memorisations(read_results(run), run)
    (trial,) = found.trials.values()
    drawn, unseen = trial.by_group["drawn"], trial.by_group["unseen"]
    pairs = [(a > b) + (a == b) / 2 for a in drawn for b in unseen]
    assert len(pairs) == 2 * 24
    assert trial.auroc == pytest.approx(np.mean(pairs))
    normal = np.array(
        [row["score"] for row in run.score_rows[key] if row["split"] == "test" and not row["label"]]
    )
    wide = np.quantile(normal, 0.75) - np.quantile(normal, 0.25)
    for group in GROUPS:
        expected = (trial.by_group[group] - np.median(normal)) / wide
        assert np.allclose(found.joined(group), expected)
        assert found.median(group) == pytest.approx(np.median(expected))
    assert found.median("normal") == 0


def test_normal_images_that_all_score_alike_leave_the_auroc_and_no_scale(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(1,), seeds=(0,))
    for row in run.score_rows["apc-weave-1-0"]:
        row["score"] = 1.0 + row["label"]
    (found,) = memorisations(read_results(run), run)
    assert found.aurocs == {"weave": {0: 0.5}}
    assert found.median("drawn") is None
    assert not len(found.joined("drawn"))


def test_trials_without_scored_drawn_images_and_frozen_systems_are_left_out(
    make_run: Make,
) -> None:
    run = make_run(shots=(1,), seeds=(0, 1))
    for key in ("apc-weave-1-0", "apc-granite-1-1"):
        run.score_rows[key] = [row for row in run.score_rows[key] if row["split"] != "drawn"]
    run.drop("apc", "weave", 1, 1, "worker lost")
    (found,) = memorisations(read_results(run), run)
    assert list(found.trials) == [("granite", 0)]
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin"}}
    frozen = make_run(methods=only)
    assert memorisations(read_results(frozen), frozen) == []
