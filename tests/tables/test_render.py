"""Tables as Markdown, CSV and Parquet: names do no harm, numbers come back."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import poster
from apc_bench.tables.differences import differences
from apc_bench.tables.gains import gains
from apc_bench.tables.missing import missing
from apc_bench.tables.render import comma_separated, markdown, parquet
from apc_bench.tables.table import Cell, Column, Note, Row, Table

NASTY = (
    "<script>alert(1)</script> | *a* _b_ `c` [d](e) 50 % & #1 $x_1$ {y} ~^\\ \"q\" 'z' Größe 中文"
)
line = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


def small(text: str, *, best: bool = False, blocks: int = 1, rows: int = 1) -> Table:
    columns = (Column("System", ("system",), numeric=False), Column("AUROC_im", ("auroc", "sd")))
    cells = (Cell(text, (text,)), Cell("98.83 ± 0.10", (98.8312345, 0.1), best))
    all_rows = tuple(Row(cells, str(block)) for block in range(blocks) for _ in range(rows))
    return Table("small_table", text, columns, all_rows, (Note("Note", text),))


@given(line)
def test_no_text_breaks_a_markdown_row(text: str) -> None:
    lines = markdown(small(text)).splitlines()
    table = [row for row in lines if row.startswith("|")]
    assert len(table) == 3
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table} == {3}


def test_markdown_shows_names_as_they_are() -> None:
    text = markdown(small(NASTY, best=True))
    assert "<script>" not in text
    assert r"\*a\* \_b\_ \`c\` \[d\](e)" in text
    assert r"\$x_1\$" in text
    assert "| **98.83 ± 0.10** |" in text
    assert "AUROC_im" in text
    assert "|:--|--:|" in text


@given(line)
def test_csv_gives_back_the_unrounded_values(text: str) -> None:
    read = list(csv.reader(io.StringIO(comma_separated(small(text)))))
    assert read == [["system", "auroc", "sd"], [text, "98.8312345", "0.1"]]


def test_csv_leaves_missing_values_empty() -> None:
    table = Table("t", "t", (Column("a", ("a", "b")),), (Row((Cell("–", (None, 0)),)),), ())
    assert comma_separated(table) == "a,b\n,0\n"


Make = Callable[..., Any]


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
