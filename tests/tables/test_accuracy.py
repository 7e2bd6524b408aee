"""The poster's table and the published figures in it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from table_support import rows_of

from apc_bench.results.published import read_published
from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import COMMON, poster
from apc_bench.tables.table import Row, Table

Make = Callable[..., Any]
SEEDS = (0, 1, 2)
MVTEC = read_published()[0].categories


def texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


def note(table: Table, label: str) -> str:
    return next(note.text for note in table.notes if note.label == label)


def test_the_posters_table_is_the_mean_of_categories_with_the_deviation_over_seeds(
    make_run: Make,
) -> None:
    run = make_run(categories=("granite", "washer", "weave"), detail=False)
    table = poster(read_results(run), ())
    for row, (method, shots) in zip(
        table.rows, [("patchcore", 0), ("apc", 1), ("apc", 5), ("apc", 10)], strict=False
    ):
        for column, metric in enumerate(
            ("image_auroc", "image_f1_max", "pixel_auroc", "pixel_f1_max"), 3
        ):
            values = np.array(
                [
                    [run.value(method, category, shots, seed, metric) for seed in SEEDS]
                    for category in ("granite", "washer", "weave")
                ]
            )
            per_seed = 100 * values.mean(axis=0)
            assert row.cells[column].text == f"{per_seed.mean():.2f} ± {per_seed.std(ddof=1):.2f}"
            assert row.cells[column].values[:2] == pytest.approx(
                (per_seed.mean(), per_seed.std(ddof=1))
            )


def test_the_best_of_the_common_test_set_is_bold_in_each_column(make_run: Make) -> None:
    table = poster(read_results(make_run(detail=False)), ())
    common = [row for row in table.rows if row.block == COMMON]
    for column in range(3, 7):
        values = [row.cells[column].values[0] for row in common]
        assert [row.cells[column].best for row in common] == [
            value == max(values) for value in values
        ]  # type: ignore[type-var]
    assert not any(cell.best for row in table.rows if row.block != COMMON for cell in row.cells)


def test_the_baseline_stands_on_the_full_test_set_too(make_run: Make) -> None:
    run = make_run(detail=False)
    full = [row for row in rows_of(poster(read_results(run), ())) if row["test_set"] == "full"]
    values = [
        [run.value("patchcore", category, 0, seed, "image_auroc", "full") for seed in SEEDS]
        for category in ("granite", "weave")
    ]
    assert [row["system"] for row in full] == ["PatchCore"]
    assert full[0]["image_auroc_percent"] == pytest.approx(100 * np.mean(values))


def test_a_partial_mean_never_looks_like_a_whole_one(make_run: Make) -> None:
    run = make_run(categories=("granite", "washer", "weave"), detail=False)
    run.drop("apc", "washer", 5, 1, "lost")
    table = poster(read_results(run), ())
    common = [row for row in table.rows if row.block == COMMON]
    assert all(text.endswith("(2/3)") for row in common for text in texts(row)[3:7])
    assert [texts(row)[-1] for row in common] == ["0", "0", "1 of 9", "0"]
    assert "failed: lost (APC, 5 shots on washer, seed 1)" in note(table, "Missing")


def test_nothing_is_bold_where_systems_rest_on_different_categories(make_run: Make) -> None:
    run = make_run(shots=(1,), detail=False)
    run.drop("apc", "weave", 1, 0)
    run.drop("patchcore", "granite", 0, 2)
    table = poster(read_results(run), ())
    assert [texts(row)[3].split()[-1] for row in table.rows if row.block == COMMON] == [
        "(1/2)",
        "(1/2)",
    ]
    assert not any(cell.best for row in table.rows for cell in row.cells)


def test_one_seed_shows_no_spread(make_run: Make) -> None:
    table = poster(read_results(make_run(seeds=(7,), detail=False)), ())
    assert not any("±" in text for row in table.rows for text in texts(row))
    assert "one seed (7)" in note(table, "Values")


def test_published_figures_stand_beside_a_whole_run_of_their_dataset_only(make_run: Make) -> None:
    published = read_published()
    run = make_run(categories=MVTEC, dataset="mvtec_ad", shots=(1, 10), seeds=(0,), detail=False)
    table = poster(read_results(run), published)
    rows = {
        (row["system"], row["shots"]): row
        for row in rows_of(table)
        if row["test_set"] == "published"
    }
    assert rows["APC [1]", 10]["image_auroc_percent"] == 98.83
    assert rows["PatchCore R50 [1]", 0]["pixel_f1_max_percent"] == 54.70
    assert all(shots in (0, 10) for _, shots in rows)
    assert "arXiv 2408.15113" in note(table, "[1]")
    marks = [system.rsplit(" ", 1)[1] for system, _ in rows]
    assert {note.label for note in table.notes if note.label.startswith("[")} == set(marks)
    prnet = [
        row["image_auroc_percent"] for row in rows_of(table) if row["system"].startswith("PRNet")
    ]
    assert prnet == [90.39, 99.4, 94.9]


def test_a_missing_trial_takes_the_published_figures_away(make_run: Make) -> None:
    run = make_run(categories=MVTEC, dataset="mvtec_ad", shots=(10,), seeds=(0,), detail=False)
    run.drop("apc", "zipper", 10, 0)
    table = poster(read_results(run), read_published())
    assert "published" not in {row.block for row in table.rows}
    assert note(table, "Published figures") == "left out while trials are missing"
