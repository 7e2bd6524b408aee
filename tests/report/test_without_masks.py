"""What a report of photos without masks leaves out: everything over pixels."""

from collections.abc import Callable
from typing import Any

import pytest

from apc_bench.metrics.catalogue import CATALOGUE, METRICS
from apc_bench.report.curves import curves_figure
from apc_bench.report.gain_heatmap import heatmap_figure
from apc_bench.report.shots_plots import few_samples_figure, shots_figure
from apc_bench.results.reading import read_results
from apc_bench.tables.render import comma_separated, markdown
from apc_bench.tables.report_tables import report_tables
from apc_bench.tables.terminal import terminal_table

Make = Callable[..., Any]
PIXELS = [metric for metric in METRICS if CATALOGUE[metric].level == "pixel"]
REASON = "the test set has no masks"


@pytest.fixture
def maskless(make_run: Make) -> Any:
    run = make_run(categories=("weave",), shots=(1, 5), seeds=(0, 1), tests=4)
    for row in run.metric_rows:
        row |= dict.fromkeys(PIXELS)
        row["undefined"] = [(metric, REASON) for metric in PIXELS]
    for key, rows in run.curve_rows.items():
        run.curve_rows[key] = [row for row in rows if row["level"] != "pixel"]
    return run


def test_tables_have_no_columns_over_pixels_and_say_why_once(maskless: Any) -> None:
    results = read_results(maskless)
    for every in report_tables(results, maskless, [], []):
        table = every.for_readers
        headings = " ".join(column.title for column in table.columns)
        assert "_px" not in headings
        assert "AU-PRO" not in headings
        cells = {cell.text for row in table.rows for cell in row.cells}
        assert not {"AUROC_px", "F1_px", "AP_px", "AU-PRO"} & cells
        text = markdown(table)
        assert "Pixel level" not in text
        assert text.count(REASON) <= 1
        assert "pixel_auroc" not in text
        if table.name == "poster":
            assert "pixel_auroc_percent" in comma_separated(every)  # as of every run, for programs
            assert table.title == "Image AUROC and F1"
            assert f"AUROC_px, F1_px, AP_px, AU-PRO: {REASON}" in text
    assert [column.header.plain for column in terminal_table(results).columns] == [  # type: ignore[union-attr]
        "System",
        "Shots",
        "AUROC_im",
        "F1_im",
    ]


def test_figures_have_no_panels_over_pixels(maskless: Any) -> None:
    results = read_results(maskless)
    titles = {
        "shots": shots_figure(results, "weave"),
        "few": few_samples_figure(results, "weave"),
        "gains": heatmap_figure(results),
        "curves": curves_figure(results, maskless, "weave"),
    }
    for name, figure in titles.items():
        assert figure is not None
        shown = [axis.get_title() for axis in figure.axes]
        assert not [title for title in shown if "ixel" in title or "_px" in title], name
        words = [text.get_text() for axis in figure.axes for text in axis.texts]
        assert "undefined" not in " ".join(words), name
