"""The table by number of shots."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from apc_bench.results.reading import read_results
from apc_bench.tables.by_shots import by_shots

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


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
