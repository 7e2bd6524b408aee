"""The figure that answers "how few samples": values and intervals against SciPy, and what it does
where there is nothing to draw.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from apc_bench.report.shots_plots import few_samples_figure, few_samples_tasks, per_seed
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


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


def test_there_is_one_drawing_a_category_and_one_of_the_mean(make_run: Make, tmp_path) -> None:
    results = read_results(make_run(detail=False))
    assert set(few_samples_tasks(results, tmp_path)) == {"", *results.categories}


def test_nothing_is_drawn_where_nothing_was_trained(make_run: Make, tmp_path) -> None:
    results = read_results(
        make_run(
            methods={"patchcore": {"detector": "patchcore", "backbone": "builtin"}}, detail=False
        )
    )
    assert few_samples_tasks(results, tmp_path) == {}
