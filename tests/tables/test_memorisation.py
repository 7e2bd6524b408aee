"""The table of memorisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from table_support import rows_of

from apc_bench.results.memorisation import memorisations
from apc_bench.results.reading import read_results
from apc_bench.tables.memorisation import memorisation
from apc_bench.tables.report_tables import report_tables
from apc_bench.tables.table import Table

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def table_of(run: Any) -> Table | None:
    results = read_results(run)
    return memorisation(results, memorisations(results, run))


def names(run: Any) -> list[str]:
    results = read_results(run)
    return [table.name for table in report_tables(results, run, (), memorisations(results, run))]


def auroc(rows: list[dict[str, Any]]) -> float:
    """Of a trial's drawn images against its anomalous test images."""
    kept = [row for row in rows if row["label"] and row["split"] in ("drawn", "test")]
    return float(
        roc_auc_score([row["split"] == "drawn" for row in kept], [row["score"] for row in kept])
    )


def test_a_row_is_the_mean_over_categories_and_its_deviation_over_seeds(make_run: Make) -> None:
    run = make_run(shots=(1, 2))
    table = table_of(run)
    assert table is not None
    rows = rows_of(table)
    assert [(row["system"], row["shots"]) for row in rows] == [("APC", 1), ("APC", 2)]
    for row in rows:
        per_seed = [
            np.mean(
                [
                    auroc(run.score_rows[f"apc-{category}-{row['shots']}-{seed}"])
                    for category in ("granite", "weave")
                ]
            )
            for seed in SEEDS
        ]
        assert row["drawn_auroc_percent"] == pytest.approx(100 * np.mean(per_seed))
        assert row["drawn_auroc_sd"] == pytest.approx(100 * np.std(per_seed, ddof=1))
        assert (row["drawn_auroc_of"], row["trials"]) == (2, 6)


def test_images_that_stand_out_alone_are_memorised(make_run: Make) -> None:
    run = make_run(shots=(2,))
    for rows in run.score_rows.values():
        for row in rows:
            row["score"] += 1000 * (row["split"] == "drawn")
    table = table_of(run)
    assert table is not None
    (row,) = rows_of(table)
    assert row["drawn_auroc_percent"] == 100
    assert row["drawn_median_iqr"] > 100 > row["unseen_median_iqr"] > row["held_out_median_iqr"]


def test_a_category_without_a_trial_is_left_out_of_the_mean_and_counted(make_run: Make) -> None:
    run = make_run(shots=(2,))
    run.drop("apc", "weave", 2, 1, "worker lost")
    table = table_of(run)
    assert table is not None
    (row,) = rows_of(table)
    assert (row["drawn_auroc_of"], row["trials"]) == (1, 5)
    assert table.rows[0].cells[2].text.endswith("(1/2)")


def test_the_report_has_it_where_something_was_fine_tuned_and_else_not(make_run: Make) -> None:
    run = make_run()
    assert "memorisation" in names(run)
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin"}}
    run = make_run(methods=only)
    assert "memorisation" not in names(run)


def test_an_unseen_type_is_told_for_then_the_types_differ_too(make_run: Make) -> None:
    run = make_run(shots=(2,))
    run.run_json["settings"]["unseen"] = "stain"
    table = table_of(run)
    assert table is not None
    (note,) = [note.text for note in table.notes if note.label == "Other type"]
    assert "only 'stain' is tested" in note
