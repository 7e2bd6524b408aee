"""The figure of memorisation: its boxes against NumPy, and where there is none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from apc_bench.report.memorisation_plot import FEW, memorisation_figure
from apc_bench.results.memorisation import GROUPS, memorisations
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def figure_of(run: Any) -> Figure | None:
    results = read_results(run)
    return memorisation_figure(results, memorisations(results, run))


def test_a_group_of_many_is_a_box_and_one_of_few_its_points(make_run: Make) -> None:
    run = make_run(shots=(1, 2), seeds=(0, 1, 2))
    results = read_results(run)
    figure = figure_of(run)
    assert figure is not None
    (axis,) = figure.axes
    medians = {float(np.mean(line.get_xdata())): line.get_ydata()[0] for line in axis.lines}
    points = [one for one in axis.collections if isinstance(one, PathCollection)]
    by_shots = [[one.joined(group) for group in GROUPS] for one in memorisations(results, run)]
    assert [len(groups[0]) for groups in by_shots] == [6, 12]
    assert len(points) == 1
    assert np.allclose(np.sort(points[0].get_offsets()[:, 1]), np.sort(by_shots[0][0]))
    boxed = [np.median(scores) for groups in by_shots for scores in groups if len(scores) > FEW]
    for median in boxed:
        assert any(np.isclose(median, found) for found in medians.values())
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "2"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["drawn (trained on)", "unseen anomalies", "test normals", "held-out normals"]


def test_each_method_has_a_panel(make_run: Make) -> None:
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"},
        "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
        "slow": {"detector": "apc", "backbone": "builtin", "title": "APC, small rate"},
    }
    run = make_run(methods=methods, shots=(2,))
    figure = figure_of(run)
    assert figure is not None
    assert [axis.get_title() for axis in figure.axes] == ["APC", "APC, small rate"]


def test_without_a_fine_tuned_system_or_a_scale_there_is_no_figure(make_run: Make) -> None:
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin"}}
    frozen = make_run(methods=only)
    assert figure_of(frozen) is None
    run = make_run(shots=(1,))
    for rows in run.score_rows.values():
        for row in rows:
            row["score"] = 1.0
    assert figure_of(run) is None
