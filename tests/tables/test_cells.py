"""Cells: what is shown, and the values behind it."""

import pytest

from apc_bench.results.aggregate import Mean
from apc_bench.tables.cells import best_of, percent_cell


def test_values_that_look_equal_are_bold_together_and_a_lone_one_is_not() -> None:
    def at(value: float) -> Mean:
        return Mean(value, None, ("a",), 1)

    assert best_of([at(0.98761), at(0.98764), at(0.9), None]) == {0, 1}
    assert best_of([at(0.9), None]) == set()
    assert best_of([at(1.0), at(0.999)]) == {0}


def test_percent_cells_round_half_as_python_does_and_keep_the_exact_value() -> None:
    cell = percent_cell(Mean(0.987654321, 0.0123456, ("a", "b"), 3), of=2)
    assert cell.text == "98.77 ± 1.23"
    assert cell.values == pytest.approx((98.7654321, 1.23456, 2))
    assert percent_cell(None, of=2).text == "–"
