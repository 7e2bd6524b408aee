"""What stands under a table."""

from collections.abc import Callable
from typing import Any

import pytest

from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import all_metrics, poster
from apc_bench.tables.table import Table

Make = Callable[..., Any]


def note(table: Table, label: str) -> str:
    return next(note.text for note in table.notes if note.label == label)


@pytest.mark.parametrize("metrics", [poster, all_metrics])
def test_definitions_stand_under_the_table(make_run: Make, metrics: Callable[..., Table]) -> None:
    run = make_run(detail=False)
    run.run_json["emptied"] = {"weave": ["test/crack/000.png"]}
    run.run_json["left_out"] = {
        "granite": {"test/good/1.png": "empty file", "test/good/2.png": "empty file"}
    }
    for row in run.metric_rows:
        if row["category"] == "weave":
            row |= {
                "notes": ["segmentation off: no masks"],
                "au_pro": None,
                "undefined": [("au_pro", "no anomalous image has a mask")],
            }
    table = metrics(read_results(run), ())
    assert note(table, "Input").startswith("64 × 64 px, resize square")
    assert "128 or more of 255" in note(table, "Masks")
    assert "nearest neighbour" in note(table, "Masks")
    assert note(table, "Emptied masks").startswith("the resize left no anomalous pixel in: weave 1")
    assert note(table, "Left out").endswith("granite 2")
    assert "oracle" in note(table, "F1")
    assert "reserve (10 anomalous images a category" in note(table, "Test set")
    assert note(table, "Note") == "segmentation off: no masks (all systems; weave)"
    assert note(table, "Undefined") == "AU-PRO: no anomalous image has a mask (all systems; weave)"
    assert "cpu; threads 1; float32; result version 1; apc-bench 0.1.0" in note(
        table, "Computed on"
    )
