from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.errors import DamagedFile
from apc_bench.report.far_apart_plot import AROUND, far_apart_figure
from apc_bench.results.answer import answers
from apc_bench.results.reading import read_results

Make = Callable[..., Any]
KEY = "patchcore-weave-0-1"


@pytest.fixture
def run(make_run: Make) -> Any:
    """Of the second of two seeds one photo sets PatchCore's threshold by itself."""
    run = make_run(categories=("weave",), shots=(2,), seeds=(0, 1))
    far = _calibrating(run)[3]
    far["score"] = 9.0
    for row in run.metric_rows:
        if row["result_key"] == KEY:
            row["threshold"] = 9.0
    return run


def _calibrating(run: Any) -> list[dict[str, Any]]:
    return [row for row in run.score_rows[KEY] if row["split"] == "calibration"]


def figure_of(run: Any, data: Path | None) -> Figure | None:
    results = read_results(run)
    return far_apart_figure(results, run, answered=answers(results, run), data=data)


def test_two_usual_photos_stand_beside_those_that_set_the_threshold(
    run: Any, with_images: Any
) -> None:
    data = with_images(run)
    figure = figure_of(run, data)
    assert figure is not None
    (part,) = figure.subfigs
    title = part.get_suptitle().replace("\n", " ")
    assert title.startswith("weave: good photos that set PatchCore's threshold, beside usual ones")
    rows = sorted(_calibrating(run), key=lambda row: (row["score"], row["image"]))
    shown = [rows[2], rows[3], rows[-1]]  # of six, those in the middle
    kinds = ["usual", "usual", "far apart"]
    geometry = Geometry(int(run.info.settings["image_size"]), run.info.settings["resize"])
    drawn = [axis for axis in part.axes if axis.images]
    drawn.sort(key=lambda axis: (axis.get_xlabel().startswith("far"), part.axes.index(axis)))
    for axis, row, kind in zip(drawn, shown, kinds, strict=True):
        assert axis.get_xlabel() == f"{kind}\n{Path(row['image']).name}"
        photo = geometry.apply(read_image(data / "weave" / row["image"]))
        assert np.array_equal(axis.images[0].get_array(), photo)
        (square,) = (patch for patch in axis.patches if isinstance(patch, Rectangle))
        rows_of_grid, columns = run.anomaly_maps[KEY][1].shape[1:]
        centre = np.array(square.get_center()) + 0.5
        expected = np.array([row["worst_column"] + 0.5, row["worst_row"] + 0.5])
        assert centre == pytest.approx(expected * len(photo) / [columns, rows_of_grid])
        assert square.get_width() == pytest.approx(AROUND * len(photo) / columns)


def test_where_the_trial_s_maps_are_damaged_the_photos_stand_without_squares(
    run: Any, with_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_key: str) -> None:
        raise DamagedFile("maps: damaged")

    data = with_images(run)
    monkeypatch.setattr(run, "maps", damaged)
    figure = figure_of(run, data)
    assert figure is not None
    drawn = [axis for axis in figure.subfigs[0].axes if axis.images]
    assert [len(axis.patches) for axis in drawn] == [0, 0, 0]


def test_without_such_photos_or_their_files_there_is_no_figure(
    run: Any, make_run: Make, with_images: Any, tmp_path: Path
) -> None:
    assert figure_of(run, None) is None
    assert figure_of(run, tmp_path / "gone") is None
    usual = make_run(categories=("weave",), shots=(2,), seeds=(0, 1))
    assert figure_of(usual, with_images(usual)) is None
