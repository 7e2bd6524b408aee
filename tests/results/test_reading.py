"""Plan, metrics and failures of a run, joined."""

from collections.abc import Callable
from typing import Any

import pytest

from apc_bench.errors import DamagedFile, RunError
from apc_bench.results.aggregate import Results, System
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def system(results: Results, method: str, shots: int = 0) -> System:
    return next(one for one in results.systems if (one.method, one.shots) == (method, shots))


def test_systems_follow_the_jobs_order_and_then_the_shots(make_run: Make) -> None:
    methods = {
        "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"},
    }
    results = read_results(make_run(methods=methods, shots=(10, 2), detail=False))
    assert [(one.method, one.shots) for one in results.systems] == [
        ("apc", 2),
        ("apc", 10),
        ("patchcore", 0),
    ]
    assert [one.label for one in results.systems] == ["APC, 2 shots", "APC, 10 shots", "PatchCore"]


def test_missing_trials_tell_why(make_run: Make) -> None:
    run = make_run(shots=(1, 5), detail=False)
    run.drop("apc", "granite", 1, 0, "TrainingError: loss is\n  nan", kind="extractor")
    run.drop("apc", "granite", 1, 0, "not started: its fine-tuning failed")
    run.drop("apc", "weave", 5, 2, "out of memory")
    run.drop("patchcore", "weave", 0, 1)
    results = read_results(run)
    assert results.missing(system(results, "apc", 1)) == [
        ("granite", 0, "its fine-tuning failed: TrainingError: loss is nan")
    ]
    assert results.missing(system(results, "apc", 5)) == [("weave", 2, "failed: out of memory")]
    assert results.missing(system(results, "patchcore")) == [("weave", 1, "not run")]


def test_of_two_results_of_one_trial_the_later_planned_one_counts(make_run: Make) -> None:
    run = make_run(detail=False)
    old = next(row for row in run.plan_rows if row["result_key"] == "patchcore-granite-0-0")
    run.plan_rows.append({**old, "result_key": "newer"})
    row = next(row for row in run.metric_rows if row["result_key"] == old["result_key"])
    results = read_results(run)
    assert (
        results.trials[system(results, "patchcore"), "granite", 0].result_key == old["result_key"]
    )
    run.metric_rows.append({**row, "result_key": "newer", "image_auroc": 0.123})
    results = read_results(run)
    assert results.by_seed(system(results, "patchcore"), "granite", "image_auroc")[0] == 0.123
    assert results.superseded == 1


def test_two_methods_of_one_title_stay_apart(make_run: Make) -> None:
    methods = {
        name: {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"}
        for name in ("first", "second")
    }
    results = read_results(make_run(methods=methods, detail=False))
    assert [one.title for one in results.systems] == ["PatchCore (first)", "PatchCore (second)"]


def test_a_run_without_trials_or_settings_is_named(make_run: Make) -> None:
    run = make_run(detail=False)
    run.plan_rows = []
    with pytest.raises(RunError, match="holds no trial"):
        read_results(run)
    del run.run_json["settings"]
    with pytest.raises(DamagedFile, match=r"run\.json: no settings"):
        read_results(run)
