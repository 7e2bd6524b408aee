"""Figures against shots: values and intervals against NumPy and SciPy, and what stands where there
is nothing to draw.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from apc_bench.report.shots_plots import (
    few_samples_figure,
    few_samples_tasks,
    per_seed,
    shots_figure,
)
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def lines_of(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    return {
        str(line.get_label()): np.asarray(line.get_ydata(), float)
        for line in figure.axes[panel].lines
    }


@pytest.mark.parametrize("category", [None, "weave"])
def test_the_line_starts_at_the_baseline_and_its_band_is_the_t_interval_over_seeds(
    make_run: Make, category: str | None
) -> None:
    results = read_results(make_run(shots=(1, 10), seeds=(0, 1, 2), detail=False))
    figure = few_samples_figure(results, category)
    assert figure is not None
    for axis, metric in zip(
        figure.axes, ("image_auroc", "pixel_auroc", "missed_rate", "false_alarm_rate"), strict=True
    ):
        systems = [
            results.baseline,
            *(system for system in results.systems if system.method == "apc"),
        ]
        samples = [per_seed(results, system, metric, category) for system in systems if system]
        (line,) = [line for line in axis.lines if line.get_label() == systems[-1].title]
        assert list(line.get_xdata()) == [0, 1, 2]
        assert np.allclose(line.get_ydata(), [100 * np.mean(values) for values in samples])
        band = axis.collections[0].get_paths()[0].vertices
        low, high = stats.t.interval(
            0.95, len(samples[1]) - 1, np.mean(samples[1]), stats.sem(samples[1])
        )
        at = band[np.isclose(band[:, 0], 1)][:, 1]
        assert at.min() == pytest.approx(100 * max(0, low)) and at.max() == pytest.approx(
            100 * min(1, high)
        )


def test_what_is_undefined_has_no_panel_and_nothing_defined_is_no_figure(make_run: Make) -> None:
    run = make_run(shots=(1, 10), detail=False)
    for row in run.metric_rows:
        row |= {"pixel_auroc": None}
    figure = few_samples_figure(read_results(run), None)
    assert figure is not None
    titles = [axis.get_title() for axis in figure.axes]
    rates = ["Missed defects", "False alarms"]
    assert titles == ["Image AUROC", *(f"{rate}\nat the threshold for 5 %" for rate in rates)]
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    pairs = itertools.combinations(boxes, 2)
    assert not [pair for pair in pairs if pair[0].overlaps(pair[1])]
    for row in run.metric_rows:
        row |= {"image_auroc": None, "missed_rate": None, "false_alarm_rate": None}
    assert few_samples_figure(read_results(run), None) is None


def test_there_is_one_figure_a_category_and_one_of_the_mean(make_run: Make, tmp_path) -> None:
    results = read_results(make_run(detail=False))
    assert set(few_samples_tasks(results, tmp_path)) == {"", *results.categories}


def test_nothing_is_drawn_where_nothing_was_trained(make_run: Make, tmp_path) -> None:
    results = read_results(
        make_run(
            methods={"patchcore": {"detector": "patchcore", "backbone": "builtin"}}, detail=False
        )
    )
    assert few_samples_tasks(results, tmp_path) == {}


def test_shots_curves_show_the_means_and_the_baseline_is_a_horizontal_line(make_run: Make) -> None:
    run = make_run(detail=False)
    figure = shots_figure(read_results(run), None)

    def mean(method: str, shots: int, metric: str) -> float:
        return 100 * float(
            np.mean(
                [
                    run.value(method, name, shots, seed, metric)
                    for name in ("granite", "weave")
                    for seed in (0, 1, 2)
                ]
            )
        )

    for panel, metric in enumerate(("image_auroc", "image_f1_max", "pixel_auroc", "pixel_f1_max")):
        lines = lines_of(figure, panel)
        assert lines["APC"] == pytest.approx([mean("apc", shots, metric) for shots in (1, 5, 10)])
        assert lines["PatchCore (frozen)"] == pytest.approx([mean("patchcore", 0, metric)] * 2)
        assert figure.axes[panel].get_xticks().tolist() == [1, 5, 10]


def test_the_band_is_one_deviation_over_seeds(make_run: Make) -> None:
    run = make_run(shots=(1, 5), detail=False)
    figure = shots_figure(read_results(run), "weave")
    values = 100 * np.array(
        [run.value("apc", "weave", 5, seed, "image_auroc") for seed in (0, 1, 2)]
    )
    (band,) = list(figure.axes[0].collections)
    corners = band.get_paths()[0].vertices
    at_five = corners[np.isclose(corners[:, 0], 5), 1]
    assert (at_five.min(), at_five.max()) == pytest.approx(
        (values.mean() - values.std(ddof=1), values.mean() + values.std(ddof=1))
    )


def test_a_partial_mean_says_so_in_its_title_and_an_undefined_metric_in_its_panel(
    make_run: Make,
) -> None:
    run = make_run(detail=False)
    for row in run.metric_rows:
        row["pixel_f1_max"] = None
        if row["category"] == "weave":
            row["pixel_auroc"] = None
    axes = shots_figure(read_results(run), None).axes
    assert [axis.get_title() for axis in axes[:3]] == [
        "Image AUROC",
        "Image F1 (oracle)",
        "Pixel AUROC, 1 of 2 categories",
    ]
    assert axes[3].texts[0].get_text() == "undefined or missing"
