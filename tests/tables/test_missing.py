"""The table of missing trials."""

from collections.abc import Callable
from typing import Any

from apc_bench.results.reading import read_results
from apc_bench.tables.missing import missing
from apc_bench.tables.table import Table

Make = Callable[..., Any]


def rows_of(table: Table) -> list[dict[str, Any]]:
    fields = [field for column in table.columns for field in column.fields]
    return [
        dict(zip(fields, (value for cell in row.cells for value in cell.values), strict=True))
        for row in table.rows
    ]


def test_missing_trials_are_listed_each_with_its_reason(make_run: Make) -> None:
    run = make_run(detail=False)
    assert missing(read_results(run)) is None
    run.drop("apc", "weave", 5, 1, "killed")
    table = missing(read_results(run))
    assert table is not None
    assert rows_of(table) == [
        {"system": "APC", "shots": 5, "category": "weave", "seed": 1, "reason": "failed: killed"}
    ]
