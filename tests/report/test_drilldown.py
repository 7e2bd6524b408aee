import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from apc_bench.report.drilldown import drilldown
from apc_bench.report.pictures import (
    LEVELS,
)
from apc_bench.report.selection import HARDEST, ONE_SIDED
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def of_weave(run: Any, data: Path | None = None) -> dict[str, Any]:
    results = read_results(run)
    found = drilldown("weave", data, results.seeds, results, run)
    assert found is not None
    loaded: dict[str, Any] = json.loads(json.dumps(found))
    return loaded


def test_every_trial_shows_its_hardest_images_by_its_own_scores(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(1, 10), seeds=(0, 1), tests=5)
    trials = of_weave(run)["trials"]
    assert set(trials) == {f"{system}-{seed}" for system in range(3) for seed in (0, 1)}
    for (key, seed), place in {
        ("patchcore-weave-0", 1): "0-1",
        ("apc-weave-1", 0): "1-0",
        ("apc-weave-10", 1): "2-1",
    }.items():
        rows = [row for row in run.score_rows[f"{key}-{seed}"] if row["split"] == "test"]
        defects = sorted((row["score"], row["image"]) for row in rows if row["label"])[:HARDEST]
        normal = sorted((row["score"], row["image"]) for row in rows if not row["label"])[::-1][
            :HARDEST
        ]
        shown = trials[place]["images"]
        assert [one["name"] for one in shown] == [image for _, image in (*defects, *normal)]
        missed = [score < 2.0 for score, _ in defects]
        assert [one["why"] == "missed defect" for one in shown[:HARDEST]] == missed
        assert [one["why"] == "false alarm" for one in shown[HARDEST:]] == [
            score >= 2.0 for score, _ in normal
        ]


def test_the_histogram_counts_every_test_image_and_holds_the_threshold(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=7)
    found = of_weave(run)["trials"]["1-0"]["histogram"]
    rows = [row for row in run.score_rows["apc-weave-10-0"] if row["split"] == "test"]
    assert (sum(found["normal"]), sum(found["anomalous"])) == (7, 14)
    assert found["threshold"] == 2.0
    scores = np.array([row["score"] for row in rows])
    assert found["low"] == pytest.approx(scores.min(), rel=1e-3)
    assert found["high"] > max(2.0, np.quantile(scores, 0.95)) * 0.999
    assert found["beyond"] == bool((scores > found["high"]).any())
    for kind, label in (("normal", False), ("anomalous", True)):
        edges = np.linspace(found["low"], found["high"], len(found[kind]) + 1)
        for edge in (5, 12):
            below = sum(row["score"] < edges[edge] for row in rows if row["label"] == label)
            assert abs(sum(found[kind][:edge]) - below) <= 1  # a score may lie on an edge


def test_maps_stand_beside_the_baselines_and_all_on_one_scale(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=5)
    found = of_weave(run)
    for trial, partners in (
        ("0-0", ["PatchCore", "APC, 10 shots"]),
        ("1-0", ["PatchCore", "APC, 10 shots"]),
    ):
        for one in found["trials"][trial]["images"]:
            assert [entry["of"] for entry in one["maps"]] == partners
            for entry, key in zip(
                one["maps"], ("patchcore-weave-0-0", "apc-weave-10-0"), strict=True
            ):
                names, maps = run.maps(key)
                calibration = [
                    row["score"] for row in run.score_rows[key] if row["split"] == "calibration"
                ]
                zero = float(np.median(np.array(calibration, np.float32)))
                scaled = (maps[names.index(one["name"])] - zero) / (2.0 - zero)
                wanted = colormaps["inferno"](np.clip((scaled + 2) / 6, 0, 1))[..., :3] * 255
                drawn = np.asarray(opened(found["pictures"][entry["map"]]).convert("RGB"), float)
                assert drawn.shape == wanted.shape
                assert np.abs(drawn - wanted).max() < 3 * 255 / LEVELS


def test_the_nearest_normal_patch_is_named_and_cut_out_of_its_training_image(
    make_run: Make, with_images: Any
) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    data = with_images(run)
    marked = np.zeros((80, 96, 3), np.uint8)
    marked[40:60, 48:72] = (250, 30, 30)
    Image.fromarray(marked).save(data / "weave" / "train/good/003.png")
    for row in run.score_rows["apc-weave-10-0"]:
        row |= {
            "nearest_image": "train/good/003.png",
            "nearest_row": 8,
            "nearest_column": 8,
            "nearest_distance": 1.25,
        }
    found = of_weave(run, data)
    for one in found["trials"]["1-0"]["images"]:
        assert (one["nearest"]["name"], one["nearest"]["row"], one["nearest"]["column"]) == (
            "train/good/003.png",
            8,
            8,
        )
        assert one["distance"] == 1.25
        crop = np.asarray(opened(found["pictures"][one["nearest"]["crop"]]).convert("RGB"), int)
        assert crop[len(crop) // 2, len(crop) // 2, 0] > 200
        assert one["patch"]["box"] == pytest.approx(
            [
                one["patch"]["column"] / 14,
                one["patch"]["row"] / 14,
                (one["patch"]["column"] + 1) / 14,
                (one["patch"]["row"] + 1) / 14,
            ],
            abs=1e-4,
        )


def test_a_detector_without_a_memory_bank_has_no_nearest_patch(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    for row in run.score_rows["apc-weave-10-0"]:
        row |= dict.fromkeys(("nearest_image", "nearest_row", "nearest_column", "nearest_distance"))
    run.anomaly_maps["apc-weave-10-0"] = (
        run.maps("apc-weave-10-0")[0],
        run.maps("apc-weave-10-0")[1] * 40 - 60,
    )  # logits
    images = of_weave(run)["trials"]["1-0"]["images"]
    assert all(one["nearest"] is None and one["patch"] for one in images)


def test_without_images_there_are_words_in_their_place(make_run: Make, with_images: Any) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    found = of_weave(run)
    one = found["trials"]["1-0"]["images"][0]
    assert found["pictures"][one["image"]] == "image not at hand"
    assert found["pictures"][one["mask"]] == "mask not at hand"
    assert found["pictures"][one["nearest"]["crop"]] == "image not at hand"
    data = with_images(run)
    (data / "weave" / one["name"]).write_bytes(b"no image")
    found = of_weave(run, data)
    assert found["pictures"][one["image"]] == "image cannot be read"


def test_a_trial_shows_on_which_images_it_and_the_baseline_disagree(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=20)
    found = {}
    for key in ("apc-weave-10-0", "patchcore-weave-0-0"):
        tested = [row for row in run.score_rows[key] if row["split"] == "test" and row["label"]]
        found[key] = {row["image"] for row in tested if row["score"] > 2.0}
    tuned, frozen = found.values()
    assert tuned - frozen
    assert frozen - tuned
    trials = of_weave(run)["trials"]
    for trial in ("0-0", "1-0"):  # of either system
        sides = trials[trial]["disagree"]
        assert [(side["why"], side["number"]) for side in sides] == [
            ("found only by APC, 10 shots", len(tuned - frozen)),
            ("found only by PatchCore", len(frozen - tuned)),
        ]
        for side, only in zip(sides, (tuned - frozen, frozen - tuned), strict=True):
            assert {one["name"] for one in side["images"]} <= only
            assert len(side["images"]) == min(ONE_SIDED, len(only))
            for one in side["images"]:
                assert [entry["of"] for entry in one["maps"]] == ["PatchCore", "APC, 10 shots"]
                assert all(entry["map"] is not None for entry in one["maps"])


def test_a_category_without_masks_shows_none(make_run: Make, with_images: Any) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    data = with_images(run)
    for row in run.split_rows["weave"]:
        row["mask"] = None
    shown = of_weave(run, data)
    images = shown["trials"]["1-0"]["images"]
    assert {one["mask"] for one in images} == {one["outline"] for one in images} == {None}
    assert "no mask" not in shown["pictures"]
