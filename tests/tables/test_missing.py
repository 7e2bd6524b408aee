"""The table of missing trials."""

from collections.abc import Callable
from typing import Any

from table_support import rows_of

from apc_bench.results.reading import read_results
from apc_bench.tables.missing import missing

Make = Callable[..., Any]


def test_missing_trials_are_listed_each_with_its_reason(make_run: Make) -> None:
    run = make_run(detail=False)
    assert missing(read_results(run)) is None
    run.drop("apc", "weave", 5, 1, "killed")
    table = missing(read_results(run))
    assert table is not None
    assert rows_of(table) == [
        {"system": "APC", "shots": 5, "category": "weave", "seed": 1, "reason": "failed: killed"}
    ]
