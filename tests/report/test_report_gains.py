import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from apc_bench.report.gain_heatmap import heatmap_figure
from apc_bench.results.reading import read_results
from apc_bench.tables.ablation import ablation
from apc_bench.tables.accuracy import poster
from apc_bench.tables.by_shots import by_shots
from apc_bench.tables.differences import differences
from apc_bench.tables.gains import gain, gain_summaries, gains
from apc_bench.tables.missing import missing
from apc_bench.tables.number_format import signed
from apc_bench.tables.render import comma_separated, parquet

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
