from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as oracle

from apc_bench.metrics.catalogue import METRICS
from apc_bench.results.aggregate import Mean
from apc_bench.results.published import comparable, read_published, why_none
from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import COMMON, all_metrics, poster
from apc_bench.tables.cells import best_of, percent_cell
from apc_bench.tables.costs import costs
from apc_bench.tables.differences import differences
from apc_bench.tables.missing import missing
from apc_bench.tables.per_category import every_value, per_category
from apc_bench.tables.table import Row, Table
from apc_bench.tables.threshold import threshold

Make = Callable[..., Any]
SEEDS = (0, 1, 2)
MVTEC = read_published()[0].categories


def rows_of(table: Table) -> list[dict[str, Any]]:
    fields = [field for column in table.columns for field in column.fields]
    return [
        dict(zip(fields, (value for cell in row.cells for value in cell.values), strict=True))
        for row in table.rows
    ]


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


def test_values_that_look_equal_are_bold_together_and_a_lone_one_is_not() -> None:
    def at(value: float) -> Mean:
        return Mean(value, None, ("a",), 1)

    assert best_of([at(0.98761), at(0.98764), at(0.9), None]) == {0, 1}
    assert best_of([at(0.9), None]) == set()
    assert best_of([at(1.0), at(0.999)]) == {0}


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


@pytest.mark.parametrize("metrics", [poster, all_metrics])
def test_definitions_stand_under_the_table(make_run: Make, metrics: Callable[..., Table]) -> None:
    run = make_run(detail=False)
    run.run_json["emptied"] = {"weave": ["test/crack/000.png"]}
    run.run_json["left_out"] = {
        "granite": {"test/good/1.png": "empty file", "test/good/2.png": "empty file"}
    }
    for row in run.metric_rows:
        if row["category"] == "weave":
            row |= {
                "notes": ["segmentation off: no masks"],
                "au_pro": None,
                "undefined": [("au_pro", "no anomalous image has a mask")],
            }
    table = metrics(read_results(run), ())
    assert note(table, "Input").startswith("64 × 64 px, resize square")
    assert "128 or more of 255" in note(table, "Masks")
    assert "nearest neighbour" in note(table, "Masks")
    assert note(table, "Emptied masks").startswith("the resize left no anomalous pixel in: weave 1")
    assert note(table, "Left out").endswith("granite 2")
    assert "oracle" in note(table, "F1")
    assert "reserve (10 anomalous images a category" in note(table, "Test set")
    assert note(table, "Note") == "segmentation off: no masks (all systems; weave)"
    assert note(table, "Undefined") == "au_pro: no anomalous image has a mask (all systems; weave)"
    assert "cpu; threads 1; float32; result version 1; apc-bench 0.1.0" in note(
        table, "Computed on"
    )


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


def test_figures_of_other_shots_datasets_or_categories_do_not(make_run: Make) -> None:
    published = read_published()
    few = read_results(
        make_run(categories=MVTEC, dataset="mvtec_ad", shots=(5,), seeds=(0,), detail=False)
    )
    assert {figure.shots for figure, _ in comparable(published, few)} == {0}
    other = read_results(
        make_run(categories=MVTEC, dataset="visa", shots=(10,), seeds=(0,), detail=False)
    )
    assert (comparable(published, other), why_none(published, other)) == ((), None)
    part = read_results(
        make_run(categories=MVTEC[:14], dataset="mvtec_ad", shots=(10,), seeds=(0,), detail=False)
    )
    assert comparable(published, part) == ()
    assert "15 categories, this run has 14" in note(poster(part, published), "Published figures")


def test_a_missing_trial_takes_the_published_figures_away(make_run: Make) -> None:
    run = make_run(categories=MVTEC, dataset="mvtec_ad", shots=(10,), seeds=(0,), detail=False)
    run.drop("apc", "zipper", 10, 0)
    table = poster(read_results(run), read_published())
    assert "published" not in {row.block for row in table.rows}
    assert note(table, "Published figures") == "left out while trials are missing"


def test_published_per_category_figures_average_to_the_published_means() -> None:
    (published,) = read_published()
    by_source = {figure.source: figure for figure in published.figures if figure.per_category}
    assert set(by_source) == {"patchcore_code", "prnet_paper"}
    assert all(
        set(figure.per_category) == set(published.categories) for figure in by_source.values()
    )
    patchcore, prnet = (
        np.mean(list(by_source[name].per_category.values()), axis=0)
        for name in ("patchcore_code", "prnet_paper")
    )
    assert patchcore.round(2).tolist() == [99.16, 98.11]
    assert prnet[1].round(1) == 99.0  # the image figures do not: see the file


def test_every_published_figure_has_a_source() -> None:
    for published in read_published():
        assert {figure.source for figure in published.figures} == set(published.sources)


def test_per_category_cells_are_means_over_seeds_and_mark_missing_ones(make_run: Make) -> None:
    run = make_run(shots=(1,), detail=False)
    run.drop("apc", "weave", 1, 2)
    table = per_category(read_results(run))
    by_place = {(row["category"], row["metric"]): row for row in rows_of(table)}
    values = [100 * run.value("apc", "weave", 1, seed, "pixel_auroc") for seed in (0, 1)]
    weave = by_place["weave", "AUROC_px"]
    assert (weave["APC, 1 shot_percent"], weave["APC, 1 shot_sd"]) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1))
    )
    assert weave["APC, 1 shot_of"] == 2
    cell = next(row for row in table.rows if texts(row)[:2] == ["weave", "AUROC_px"]).cells[3]
    assert cell.text.endswith("(2/3)")
    assert not cell.best
    assert by_place["mean", "AUROC_px"]["PatchCore_of"] == 1


def test_the_wide_table_holds_every_value_of_every_seed(make_run: Make) -> None:
    run = make_run(detail=False)
    wide = rows_of(every_value(read_results(run)))
    assert len(wide) == 2 * (4 + 1)
    for row in wide:
        for metric in METRICS:
            seeds = [
                run.value(row["method"], row["category"], row["shots"], seed, metric, row["subset"])
                for seed in SEEDS
            ]
            assert [row[f"{metric}_seed_{seed}"] for seed in SEEDS] == seeds
            assert row[f"{metric}_mean"] == pytest.approx(np.mean(seeds))


def test_the_threshold_table_shows_what_was_reached_and_what_was_allowed(make_run: Make) -> None:
    run = make_run(detail=False)
    row = rows_of(threshold(read_results(run)))[0]

    def mean(name: str) -> float:
        return 100 * float(
            np.mean(
                [
                    run.value("patchcore", category, 0, seed, name)
                    for category in ("granite", "weave")
                    for seed in SEEDS
                ]
            )
        )

    assert row["f1_percent"] == pytest.approx(mean("f1_calibrated"))
    assert row["missed_percent"] == pytest.approx(mean("missed_rate"))
    assert row["false_alarms_percent"] == pytest.approx(mean("false_alarm_rate"))
    assert row["false_alarms_low_percent"] == pytest.approx(mean("false_alarm_low"))
    assert row["false_alarms_allowed_percent"] == pytest.approx(5)


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
    assert {row["reason"] for row in rows_of(table)} == {"one category: no claim"}
    assert {row["low_points"] for row in rows_of(table)} == {None}
    assert "no claim" in note(table, "One category")


def test_without_a_frozen_method_or_a_second_system_there_are_no_differences(
    make_run: Make,
) -> None:
    for name in ("apc", "patchcore"):
        methods = {name: {"detector": name, "backbone": "builtin"}}
        results = read_results(make_run(methods=methods, shots=(1,), detail=False))
        assert differences(results) is None


def test_costs_are_means_of_trials_and_the_largest_memory(make_run: Make) -> None:
    run = make_run(shots=(10,))
    frozen, tuned = rows_of(costs(read_results(run), run))
    trials = [row for row in run.metric_rows if row["method"] == "apc"]
    assert tuned["seconds_total"] == pytest.approx(
        np.mean([row["seconds_total"] for row in trials])
    )
    assert tuned["peak_memory_mib"] == max(row["peak_memory_mib"] for row in trials)
    images = sum(len(run.score_rows[row["result_key"]]) for row in trials)
    assert tuned["images_per_second"] == pytest.approx(
        images / sum(row["seconds_search"] for row in trials)
    )
    assert (frozen["seconds_finetune"], tuned["seconds_finetune"]) == (None, 12.5)
    assert frozen["peak_gpu_memory_mib"] is None


def test_missing_trials_are_listed_each_with_its_reason(make_run: Make) -> None:
    run = make_run(detail=False)
    assert missing(read_results(run)) is None
    run.drop("apc", "weave", 5, 1, "killed")
    table = missing(read_results(run))
    assert table is not None
    assert rows_of(table) == [
        {"system": "APC", "shots": 5, "category": "weave", "seed": 1, "reason": "failed: killed"}
    ]


def test_percent_cells_round_half_as_python_does_and_keep_the_exact_value() -> None:
    cell = percent_cell(Mean(0.987654321, 0.0123456, ("a", "b"), 3), of=2)
    assert cell.text == "98.77 ± 1.23"
    assert cell.values == pytest.approx((98.7654321, 1.23456, 2))
    assert percent_cell(None, of=2).text == "–"


def test_published_files_of_another_folder_are_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "dataset: d\ncategories: [a]\nsources: {s: S}\nfigures: [{system: A, source: s, shots: 0,"
        " image_auroc: 90}]\n"
    )
    assert read_published(tmp_path)[0].figures[0].means == {"image_auroc": 90}
    (tmp_path / "x.yaml").write_text(
        "dataset: d\ncategories: [a]\nsources: {}\nfigures: [{system: A, source: s, shots: 0,"
        " auroc: 90}]\n"
    )
    with pytest.raises(ValueError, match="auroc"):
        read_published(tmp_path)
