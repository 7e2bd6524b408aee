"""Means of a run by system and category, against numpy by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from apc_bench.results.aggregate import Results, System
from apc_bench.results.reading import read_results

Make = Callable[..., Any]
FOUR = ("connector", "granite", "washer", "weave")


def system(results: Results, method: str, shots: int = 0) -> System:
    return next(one for one in results.systems if (one.method, one.shots) == (method, shots))


def grid(
    run: Any, method: str, shots: int, metric: str, categories: tuple[str, ...] = FOUR
) -> np.ndarray:
    return np.array(
        [
            [run.value(method, category, shots, seed, metric) for seed in (0, 1, 2)]
            for category in categories
        ]
    )


@pytest.mark.parametrize(("method", "shots"), [("patchcore", 0), ("apc", 5)])
def test_means_over_seeds_then_categories_are_numpys(
    make_run: Make, method: str, shots: int
) -> None:
    run = make_run(categories=FOUR, detail=False)
    results = read_results(run)
    found = results.means(results.systems, "pixel_ap").by_system[system(results, method, shots)]
    values = grid(run, method, shots, "pixel_ap")
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.mean(axis=0).std(ddof=1))
    assert found.categories == FOUR


def test_a_category_with_a_missing_trial_leaves_every_systems_mean(make_run: Make) -> None:
    run = make_run(categories=FOUR, detail=False)
    run.drop("apc", "washer", 5, 1)
    results = read_results(run)
    comparison = results.means(results.systems, "image_auroc")
    kept = ("connector", "granite", "weave")
    assert comparison.shared
    assert {mean.categories for mean in comparison.by_system.values() if mean} == {kept}
    found = comparison.by_system[system(results, "patchcore")]
    assert found is not None
    assert found.value == pytest.approx(grid(run, "patchcore", 0, "image_auroc", kept).mean())


def test_a_system_without_any_complete_category_does_not_take_the_others_away(
    make_run: Make,
) -> None:
    run = make_run(categories=FOUR, shots=(1, 5), detail=False)
    for category in FOUR:
        run.drop("apc", category, 5, 0)
    results = read_results(run)
    comparison = results.means(results.systems, "image_auroc")
    assert comparison.shared
    assert comparison.by_system[system(results, "apc", 5)] is None
    assert {mean.categories for mean in comparison.by_system.values() if mean} == {FOUR}


def test_systems_with_no_category_in_common_are_not_called_comparable(make_run: Make) -> None:
    run = make_run(categories=("granite", "weave"), shots=(1,), detail=False)
    run.drop("apc", "weave", 1, 0)
    run.drop("patchcore", "granite", 0, 2)
    results = read_results(run)
    comparison = results.means(results.systems, "image_auroc")
    assert not comparison.shared
    assert [mean.categories for mean in comparison.by_system.values() if mean] == [
        ("weave",),
        ("granite",),
    ]


def test_an_undefined_metric_counts_as_missing_for_that_metric_alone(make_run: Make) -> None:
    run = make_run(categories=FOUR, detail=False)
    for row in run.metric_rows:
        if row["category"] == "granite":
            row["pixel_auroc"] = None
    results = read_results(run)
    means = results.means(results.systems, "pixel_auroc").by_system.values()
    assert {mean.categories for mean in means if mean} == {("connector", "washer", "weave")}
    assert {
        mean.categories
        for mean in results.means(results.systems, "image_auroc").by_system.values()
        if mean
    } == {FOUR}
    assert not any(results.missing(one) for one in results.systems)


def test_seeds_that_only_one_method_has_do_not_make_the_others_incomplete(make_run: Make) -> None:
    run = make_run(detail=False)
    run.plan_rows = [
        row for row in run.plan_rows if row["method"] == "patchcore" or row["seed"] < 2
    ]
    results = read_results(run)
    assert {one.seeds for one in results.systems} == {(0, 1, 2), (0, 1)}
    assert not any(results.missing(one) for one in results.systems)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("wr50", "patchcore", "apc"), "patchcore"),
        (("wr50", "control", "apc"), "wr50"),
        (("apc",), None),
    ],
)
def test_the_baseline_is_patchcore_or_the_first_frozen_method(
    make_run: Make, names: tuple[str, ...], expected: str | None
) -> None:
    methods = {
        name: {"detector": "apc" if name == "apc" else "patchcore", "backbone": "builtin"}
        for name in names
    }
    baseline = read_results(make_run(methods=methods, detail=False)).baseline
    assert (baseline.method if baseline else None) == expected
