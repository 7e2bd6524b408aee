"""Rows that read a table's columns, against polars' own rows."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from apc_bench.results.columns import Columns

Make = Callable[..., Any]


def test_rows_are_those_of_the_table_pickled_too(make_run: Make) -> None:
    frame = make_run(shots=(1,), tests=2, detail=False).metrics()
    rows = Columns(frame).rows()
    expected = list(frame.iter_rows(named=True))
    assert [dict(row) for row in rows] == expected
    assert rows[1]["image_auroc"] == expected[1]["image_auroc"]
    copied = pickle.loads(pickle.dumps(rows))
    assert [dict(row) for row in copied] == expected


def test_a_column_that_is_not_there_is_missing_as_in_a_dict(make_run: Make) -> None:
    row = Columns(make_run(shots=(1,), tests=2, detail=False).metrics()).rows()[0]
    assert row.get("no such figure") is None
    assert "no such figure" not in row
    with pytest.raises(KeyError):
        row["no such figure"]
