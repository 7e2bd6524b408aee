"""Figures by category, for people and for programs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from table_support import rows_of

from apc_bench.metrics.catalogue import METRICS
from apc_bench.results.reading import read_results
from apc_bench.tables.per_category import every_value, per_category
from apc_bench.tables.table import Row

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


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
