"""The table of average ranks."""

from collections.abc import Callable
from typing import Any

from apc_bench.report.rank_diagram import rank_diagram
from apc_bench.results.reading import read_results
from apc_bench.tables.ranks import ranked, ranks

Make = Callable[..., Any]

MANY = {
    f"m{index}": {"detector": "patchcore", "backbone": "builtin", "title": f"Method {index}"}
    for index in range(4)
}


def test_the_table_and_the_diagram_of_a_run(make_run: Make) -> None:
    run = make_run(categories=[f"part{index}" for index in range(8)], methods=MANY, detail=False)
    for row in run.metric_rows:
        row["image_auroc"] = 0.6 + 0.1 * int(row["method"][1]) + 0.01 * row["seed"]
    results = read_results(run)
    table = ranks(results)
    assert [row.cells[2].values[0] for row in table.rows] == [4, 3, 2, 1]
    text = " ".join(note.text for note in table.notes)
    assert "8 categories; Friedman p < 0.001; differ: Method 0 and Method 1 (p 0.047)" in text
    assert (
        ranked(results, "image_auroc").ranking.groups == () and len(rank_diagram(results).axes) == 2
    )


def test_few_categories_are_ranked_without_a_claim_and_a_single_one_not_at_all(
    make_run: Make,
) -> None:
    few = read_results(make_run(detail=False))
    assert "2 categories; too few for a claim" in " ".join(note.text for note in ranks(few).notes)
    assert "too few to tell apart" in rank_diagram(few).axes[0].get_title(loc="left")
    one = read_results(make_run(categories=("granite",), detail=False))
    assert ranks(one) is None and rank_diagram(one) is None
