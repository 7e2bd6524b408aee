import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from apc_bench.report.gain_heatmap import heatmap_figure
from apc_bench.report.trial_links import TrialLinks
from apc_bench.results.reading import read_results
from apc_bench.tables.ablation import ablation
from apc_bench.tables.accuracy import poster
from apc_bench.tables.by_shots import by_shots
from apc_bench.tables.differences import differences
from apc_bench.tables.gains import gain, gain_summaries, gains
from apc_bench.tables.missing import missing
from apc_bench.tables.number_format import signed
from apc_bench.tables.per_category import per_category
from apc_bench.tables.render import comma_separated, parquet
from apc_bench.tables.table import Table

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def test_a_gain_is_paired_by_seed(make_run: Make) -> None:
    run = make_run(detail=False)
    run.drop("apc", "weave", 5, 1)
    results = read_results(run)
    system = results.systems[2]
    seeds = (0, 2)
    wanted = 100 * np.array(
        [
            run.value("apc", "weave", 5, n, "image_auroc")
            - run.value("patchcore", "weave", 0, n, "image_auroc")
            for n in seeds
        ]
    )
    found = gain(results, system, "weave", "image_auroc")
    assert found is not None
    assert (found.points, found.sd, found.seeds) == (
        pytest.approx(wanted.mean()),
        pytest.approx(wanted.std(ddof=1)),
        2,
    )


def test_where_a_method_helps_and_hurts_is_said_beyond_its_spread(make_run: Make) -> None:
    run = make_run(categories=("down", "noise", "up", "up2"), detail=False)
    shift = {
        "down": [-0.1] * 3,
        "up": [0.05] * 3,
        "up2": [0.08, 0.1, 0.12],
        "noise": [-0.1, 0.0, 0.15],
    }
    for row in run.metric_rows:
        for metric in ("image_auroc", "pixel_auroc"):
            row[metric] = 0.8 + (
                shift[row["category"]][row["seed"]] if row["method"] == "apc" else 0.0
            )
    image, pixel = gain_summaries(read_results(run))
    assert (image.system.shots, image.metric, pixel.metric) == (10, "image_auroc", "pixel_auroc")
    assert [name for name, _ in image.helps] == ["up2", "up"]
    assert [name for name, _ in image.hurts] == ["down"]
    assert [name for name, _ in image.unclear] == ["noise"]


def test_the_table_of_gains_is_coloured_by_its_sign(make_run: Make) -> None:
    table = gains(read_results(make_run(detail=False)))
    assert table is not None
    cells = [cell for row in table.rows for cell in row.cells[2:]]
    assert len(cells) == 2 * 2 * 3
    assert all(
        cell.heat is not None
        and -1 <= cell.heat <= 1
        and np.sign(cell.heat) == np.sign(cell.values[0])
        for cell in cells
    )  # type: ignore[call-overload]
    for block in ("image_auroc", "pixel_auroc"):
        assert max(
            abs(cell.heat or 0)
            for row in table.rows
            if row.block == block
            for cell in row.cells[2:]
        ) == pytest.approx(1)


def test_numbers_keep_their_sign_but_zero_has_none() -> None:
    assert [signed(value) for value in (1.616, -15.66, -0.001, 0.0)] == [
        "+1.62",
        "−15.66",
        "0.00",
        "0.00",
    ]


def test_the_heat_map_shows_the_gains_of_both_levels(make_run: Make) -> None:
    run = make_run(detail=False)
    run.metric_rows = [
        row
        for row in run.metric_rows
        if (row["method"], row["category"], row["shots"]) != ("apc", "weave", 5)
    ]
    results = read_results(run)
    figure = heatmap_figure(results)
    assert figure is not None
    for axis, metric in zip(figure.axes[:2], ("image_auroc", "pixel_auroc"), strict=True):
        shown = np.asarray(axis.images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
        for row, category in enumerate(("granite", "weave")):
            for column, system in enumerate(results.systems[1:]):
                found = gain(results, system, category, metric)
                assert shown[row, column] == pytest.approx(
                    found.points if found else np.nan, nan_ok=True
                )
        low, high = axis.images[0].get_clim()
        assert low == -high


def test_without_a_baseline_or_another_system_there_are_no_gains(make_run: Make) -> None:
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin"}}
    results = read_results(make_run(methods=only, detail=False))
    assert (
        gains(results),
        heatmap_figure(results),
        gain_summaries(results),
        by_shots(results),
    ) == (
        None,
        None,
        [],
        None,
    )


def test_the_table_by_shots_puts_the_baseline_first(make_run: Make) -> None:
    run = make_run(detail=False)
    table = by_shots(read_results(run))
    assert table is not None
    assert [column.title for column in table.columns[2:]] == [
        "0 (PatchCore)",
        "1 shot",
        "5 shots",
        "10 shots",
    ]
    for column, (method, shots) in enumerate(
        (("patchcore", 0), ("apc", 1), ("apc", 5), ("apc", 10)), 2
    ):
        values = [
            run.value(method, category, shots, seed, "image_f1_max")
            for category in ("granite", "weave")
            for seed in SEEDS
        ]
        assert table.rows[1].cells[column].values[0] == pytest.approx(100 * np.mean(values))


def test_an_ablation_names_the_settings_that_differ(make_run: Make) -> None:
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin"},
        "one": {
            "detector": "patchcore",
            "backbone": "builtin",
            "settings": {"coreset_ratio": 0.01, "layers": ["layer3"]},
        },
        "apc": {"detector": "apc", "backbone": "builtin"},
    }
    run = make_run(methods=methods, detail=False)
    table = ablation(read_results(run))
    assert table is not None
    assert [row.cells[3].text for row in table.rows] == [
        "layers layer2+layer3, coreset_ratio 0.1",
        "layers layer3, coreset_ratio 0.01",
    ]
    assert ablation(read_results(make_run(detail=False))) is None


def of(table: Table, row: int, column: str, links: TrialLinks) -> str | None:
    index = [one.title for one in table.columns].index(column)
    return links.of_cell(table, table.rows[row], index)


def test_a_cell_leads_to_its_trial(make_run: Make) -> None:
    run = make_run(detail=False)
    for row in run.metric_rows:
        row["pixel_auroc"] = 0.5 if row["category"] == "weave" else 0.9
        row["image_auroc"] = 0.5 if row["category"] == "granite" else 0.9
    run.drop("apc", "weave", 5, 0)
    results = read_results(run)
    links = TrialLinks(results)
    overview, by_category = poster(results, ()), per_category(results)
    to_baseline, shots = differences(results), by_shots(results)
    assert to_baseline is not None
    assert shots is not None
    # granite, the worst at the image level
    assert of(overview, 1, "AUROC_im", links) == "#images/0/1/0"
    assert of(overview, 1, "AUROC_px", links) == "#images/1/1/0"
    assert of(overview, 1, "Missing", links) is None
    assert of(by_category, 1, "APC, 10 shots", links) == "#images/1/3/0"
    assert of(by_category, 1, "APC, 5 shots", links) is None  # its first seed is missing
    assert of(by_category, 2, "APC, 10 shots", links) is None  # the mean
    assert of(to_baseline, 0, "Difference", links) == "#images/0/1/0"
    assert of(shots, 0, "0 (PatchCore)", links) == "#images/0/0/0"
    assert of(shots, 0, "10 shots", links) == "#images/0/3/0"
    assert links.of_trial(results.systems[3], "weave", 2) == "#images/1/3/2"
    assert links.of_trial(results.systems[2], "weave") is None


def test_published_rows_have_no_images(make_run: Make) -> None:
    from apc_bench.results.published import read_published

    published = read_published()
    results = read_results(
        make_run(
            dataset="mvtec_ad",
            categories=published[0].categories,
            shots=(10,),
            seeds=(0,),
            detail=False,
        )
    )
    table = poster(results, published)
    rows = [index for index, row in enumerate(table.rows) if row.block == "published"]
    assert rows
    assert all(
        TrialLinks(results).of_cell(table, table.rows[row], column) is None
        for row in rows
        for column in range(len(table.columns))
    )


def test_parquet_holds_what_the_csv_holds_with_types(make_run: Make) -> None:
    run = make_run(detail=False)
    run.drop("apc", "weave", 5, 1)
    results = read_results(run)
    for table in (
        poster(results, ()),
        differences(results),
        gains(results),
        missing(results),
    ):
        assert table is not None
        stored = pl.read_parquet(io.BytesIO(parquet(table)))
        text = pl.read_csv(io.StringIO(comma_separated(table)), infer_schema_length=None)
        assert stored.columns == text.columns
        for name in stored.columns:
            ours, theirs = stored[name].to_list(), text[name].to_list()
            assert ours == [
                pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
                for value in theirs
            ]
