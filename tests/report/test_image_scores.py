from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from apc_bench.report.image_scores import write_scores
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def test_scores_of_every_image_are_a_table_of_their_own(make_run: Make, tmp_path: Path) -> None:
    run = make_run(categories=("weave",), shots=(1, 10), seeds=(0, 1), tests=3)
    assert write_scores("weave", tmp_path, read_results(run), run) == "weave.csv"
    table = pl.read_csv(tmp_path / "weave.csv")
    assert len(table) == sum(len(rows) for rows in run.score_rows.values())
    row = run.score_rows["apc-weave-10-1"][7]
    found = table.filter(
        (pl.col("system") == "APC")
        & (pl.col("shots") == 10)
        & (pl.col("seed") == 1)
        & (pl.col("image") == row["image"])
    )
    assert found["score"].item() == pytest.approx(row["score"], rel=1e-6)
    assert (found["threshold"].item(), found["label"].item()) == (2.0, row["label"])
