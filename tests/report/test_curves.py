from collections.abc import Callable
from typing import Any

import numpy as np

from apc_bench.report.curves import POINTS_MAX, SEEDS_MAX, curves_figure, thinned
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def test_curves_are_the_stored_points_of_every_seed_at_the_largest_shots(make_run: Make) -> None:
    run = make_run(shots=(1, 10), tests=6)
    figure = curves_figure(read_results(run), run, "weave")
    assert figure is not None
    roc = figure.axes[0]
    assert len(roc.lines) == 2 * 3
    points = [
        row
        for row in run.curve_rows["apc-weave-10-0"]
        if (row["curve"], row["level"]) == ("roc", "image")
    ]
    line = next(line for line in roc.lines if line.get_label() == "APC, 10 shots")
    assert np.array(line.get_xydata()).tolist() == [[row["x"], row["y"]] for row in points]
    assert {line.get_drawstyle() for line in figure.axes[1].lines} == {"steps-pre"}
    recall = [np.asarray(line.get_xdata(), float) for line in figure.axes[1].lines]
    assert all((np.diff(values) >= 0).all() for values in recall)


def test_of_many_seeds_the_first_are_drawn_and_the_title_says_so(make_run: Make) -> None:
    run = make_run(shots=(1,), tests=3, seeds=tuple(range(SEEDS_MAX + 3)))
    figure = curves_figure(read_results(run), run, "weave")
    assert figure is not None
    assert len(figure.axes[0].lines) == 2 * SEEDS_MAX
    assert f"the first {SEEDS_MAX} of {SEEDS_MAX + 3} seeds" in figure.get_suptitle()


def test_a_category_without_readable_curves_has_no_figure(make_run: Make) -> None:
    run = make_run(detail=False)
    run.metric_rows = []
    assert curves_figure(read_results(run), run, "weave") is None


def test_long_curves_are_thinned_but_keep_their_ends_and_shape() -> None:
    x = np.linspace(0, 1, 100_000)
    y = np.where(x < 0.001, x * 900, 0.9 + 0.1 * x)
    kept_x, kept_y = thinned(x, y)
    assert len(kept_x) <= POINTS_MAX
    assert (kept_x[0], kept_x[-1], kept_y[-1]) == (x[0], x[-1], y[-1])
    assert np.abs(np.interp(x, kept_x, kept_y) - y)[200:].max() < 0.01
