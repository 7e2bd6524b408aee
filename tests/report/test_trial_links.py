from collections.abc import Callable
from typing import Any

from apc_bench.report.trial_links import TrialLinks
from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import poster
from apc_bench.tables.by_shots import by_shots
from apc_bench.tables.differences import differences
from apc_bench.tables.per_category import per_category
from apc_bench.tables.table import Table

Make = Callable[..., Any]


def of(table: Table, row: int, column: str, links: TrialLinks) -> str | None:
    index = [one.title for one in table.columns].index(column)
    return links.of_cell(table, table.rows[row], index)


def test_a_cell_leads_to_its_trial(make_run: Make) -> None:
    run = make_run(detail=False)
    for row in run.metric_rows:
        row["pixel_auroc"] = 0.5 if row["category"] == "weave" else 0.9
        row["image_auroc"] = 0.5 if row["category"] == "granite" else 0.9
    run.drop("apc", "weave", 5, 0)
    results = read_results(run)
    links = TrialLinks(results, results.seeds)
    overview, by_category = poster(results, ()), per_category(results)
    to_baseline, shots = differences(results), by_shots(results)
    assert to_baseline is not None
    assert shots is not None
    # granite, the worst at the image level
    assert of(overview, 1, "AUROC_im", links) == "#images/0/1/0"
    assert of(overview, 1, "AUROC_px", links) == "#images/1/1/0"
    assert of(overview, 1, "Missing", links) is None
    assert of(by_category, 1, "APC, 10 shots", links) == "#images/1/3/0"
    assert of(by_category, 1, "APC, 5 shots", links) is None  # its first seed is missing
    assert of(by_category, 2, "APC, 10 shots", links) is None  # the mean
    assert of(to_baseline, 0, "Difference", links) == "#images/0/1/0"
    assert of(shots, 0, "0 (PatchCore)", links) == "#images/0/0/0"
    assert of(shots, 0, "10 shots", links) == "#images/0/3/0"
    assert links.of_trial(results.systems[3], "weave", 2) == "#images/1/3/2"
    assert links.of_trial(results.systems[2], "weave") is None


def test_published_rows_have_no_images(make_run: Make) -> None:
    from apc_bench.results.published import read_published

    published = read_published()
    results = read_results(
        make_run(
            dataset="mvtec_ad",
            categories=published[0].categories,
            shots=(10,),
            seeds=(0,),
            detail=False,
        )
    )
    table = poster(results, published)
    rows = [index for index, row in enumerate(table.rows) if row.block == "published"]
    assert rows
    assert all(
        TrialLinks(results, results.seeds).of_cell(table, table.rows[row], column) is None
        for row in rows
        for column in range(len(table.columns))
    )
