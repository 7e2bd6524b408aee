"""The terminal's table."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from apc_bench.results.reading import read_results
from apc_bench.tables.table import Cell, Column, Row, Table
from apc_bench.tables.terminal import terminal, terminal_table


def test_the_terminals_table_fits_80_characters_and_takes_no_markup_from_names(
    make_run: Callable[..., Any],
) -> None:
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "[b]PC[/b]"},
        "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
    }
    run = make_run(methods=methods, detail=False)
    run.drop("apc", "weave", 5, 1)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(terminal_table(read_results(run)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[b]PC[/b]" in shown
    assert "…" not in shown
    assert "Missing trials: 1" in shown
    values = [run.value("patchcore", "granite", 0, seed, "image_auroc") for seed in (0, 1, 2)]
    assert f"{100 * sum(values) / 3:.2f}" in shown


@pytest.mark.parametrize("folded", [False, True])
def test_means_of_folds_are_said_to_be_other_figures_than_the_answers(
    make_run: Callable[..., Any], folded: bool
) -> None:
    run = make_run(detail=False)
    if folded:
        run.run_json["settings"] |= {"protocol": "crossfit", "folds": 3}
    caption = terminal_table(read_results(run)).caption
    assert ("Means of folds; the answer takes all photos together" in str(caption)) == folded


def test_columns_are_chosen_by_their_titles_and_a_title_that_is_gone_is_an_error() -> None:
    columns = (Column("A", ("a",)), Column("B", ("b",)))
    table = Table("t", "T", columns, (Row((Cell("1", (1,)), Cell("2", (2,))), "x"),), ())
    shown = terminal(table, columns=("B",), block="x", caption="")
    assert [column.header.plain for column in shown.columns] == ["B"]
    with pytest.raises(ValueError, match="C"):
        terminal(table, columns=("C",), block="x", caption="")
