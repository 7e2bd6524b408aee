from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from apc_bench.report.gain_heatmap import heatmap_figure
from apc_bench.results.reading import read_results
from apc_bench.tables.gains import gain, largest_gain

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def test_the_heat_map_shows_the_gains_of_both_levels(make_run: Make) -> None:
    run = make_run(detail=False)
    run.metric_rows = [
        row
        for row in run.metric_rows
        if (row["method"], row["category"], row["shots"]) != ("apc", "weave", 5)
    ]
    results = read_results(run)
    figure = heatmap_figure(results)
    assert figure is not None
    for axis, metric in zip(figure.axes[:2], ("image_auroc", "pixel_auroc"), strict=True):
        shown = np.asarray(axis.images[0].get_array().filled(np.nan))  # type: ignore[union-attr]
        for row, category in enumerate(("granite", "weave")):
            for column, system in enumerate(results.systems[1:]):
                found = gain(results, system, category, metric)
                assert shown[row, column] == pytest.approx(
                    found.heat(largest_gain(results, metric)) if found else np.nan, nan_ok=True
                )
        low, high = axis.images[0].get_clim()
        assert low == -high


def test_the_scale_holds_every_number_that_a_cell_says(make_run: Make) -> None:
    run = make_run(categories=("granite", "weave"), shots=(1,), detail=False)
    for row in run.metric_rows:
        row["image_auroc"] = 0.8
        if (row["method"], row["category"]) == ("apc", "weave"):
            row["image_auroc"] = {0: 0.4, 1: 0.8, 2: 0.7}[row["seed"]]  # within its spread
    results = read_results(run)
    figure = heatmap_figure(results)
    assert figure is not None
    assert "−16.7" in [text.get_text() for text in figure.axes[0].texts]
    scales = [axis.get_xlim() for axis in figure.axes[2:]]
    assert max(high for _, high in scales) >= 16.6
    one = make_run(categories=("weave",), shots=(1,), detail=False)
    assert heatmap_figure(read_results(one)) is None, "a picture of a single number"
