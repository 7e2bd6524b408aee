"""The table of differences to the baseline."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats as oracle
from table_support import rows_of

from apc_bench.results.reading import read_results
from apc_bench.tables.differences import differences
from apc_bench.tables.render import markdown
from apc_bench.tables.table import Table

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def note(table: Table, label: str) -> str:
    return next(note.text for note in table.notes if note.label == label)


def test_differences_average_seeds_first_and_take_categories_as_the_unit(make_run: Make) -> None:
    names = tuple(f"category{index}" for index in range(7))
    run = make_run(categories=names, shots=(1, 10), detail=False)
    table = differences(read_results(run))
    assert table is not None
    row = next(row for row in rows_of(table) if (row["metric"], row["shots"]) == ("F1_px", 10))

    def seeds_first(method: str, shots: int) -> np.ndarray:
        return np.array(
            [
                np.mean([run.value(method, name, shots, seed, "pixel_f1_max") for seed in SEEDS])
                for name in names
            ]
        )

    ours, theirs = 100 * seeds_first("apc", 10), 100 * seeds_first("patchcore", 0)
    interval = oracle.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert row["difference_points"] == pytest.approx((ours - theirs).mean())
    assert (row["low_points"], row["high_points"]) == pytest.approx((interval.low, interval.high))
    p = oracle.wilcoxon(ours, theirs).pvalue
    other = oracle.wilcoxon(100 * seeds_first("apc", 1), theirs).pvalue
    assert row["p"] == pytest.approx(p)
    assert row["p_holm"] == pytest.approx(
        min(1, 2 * p) if p <= other else max(min(1, 2 * other), p)
    )
    assert (row["wins"], row["losses"]) == (int((ours > theirs).sum()), int((ours < theirs).sum()))


def test_one_category_makes_no_claim(make_run: Make) -> None:
    table = differences(read_results(make_run(categories=("granite",), detail=False)))
    assert table is not None
    assert [column.title for column in table.for_readers.columns][3:] == ["Difference"]
    assert markdown(table).count("no claim") == 1
    assert {row["reason"] for row in rows_of(table)} == {"one category: no claim"}  # for programs
    assert "no claim" in note(table, "One category")


def test_too_few_categories_for_a_test_leave_its_columns_out(make_run: Make) -> None:
    table = differences(read_results(make_run(detail=False)))
    assert table is not None
    assert [column.title for column in table.for_readers.columns][3:] == [
        "Difference",
        "Wins/ties/losses",
    ]
    assert "2 categories: too few for an interval" in note(table, "Too little for a claim")
    three = differences(read_results(make_run(categories=("a", "b", "c"), detail=False)))
    assert three is not None
    assert "95 % interval" in [column.title for column in three.for_readers.columns]
    assert "no test is made below 6" in note(three, "Too little for a claim")


def test_no_interval_leaves_the_differences_that_are_possible(make_run: Make) -> None:
    run = make_run(categories=("a", "b", "c"), shots=(1,), seeds=(0,), detail=False)
    for row in run.metric_rows:
        tuned = row["method"] == "apc"
        row["image_auroc"] = {"a": 1.0, "b": 0.5, "c": 0.0}[row["category"]] if tuned else 0.5
    table = differences(read_results(run))
    assert table is not None
    row = next(row for row in rows_of(table) if row["metric"] == "AUROC_im")
    reach = 100 * oracle.t.ppf(0.975, 2) * 0.5 / np.sqrt(3)
    assert reach > 100
    assert (row["low_points"], row["high_points"]) == pytest.approx((-reach, reach))
    (line,) = [line for line in markdown(table).splitlines() if "−100.00 to" in line]
    assert "AUROC" in line and "−100.00 to +100.00" in line


def test_without_a_frozen_method_or_a_second_system_there_are_no_differences(
    make_run: Make,
) -> None:
    for name in ("apc", "patchcore"):
        methods = {name: {"detector": name, "backbone": "builtin"}}
        results = read_results(make_run(methods=methods, shots=(1,), detail=False))
        assert differences(results) is None
