from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from apc_bench.report.curves import POINTS_MAX, SEEDS_MAX, curves_figure, curves_tasks, thinned
from apc_bench.report.figure_style import BLACK, WITH_PNG, file_name, looks, save
from apc_bench.report.parallel import perform
from apc_bench.report.shots_plots import shots_figure, shots_tasks
from apc_bench.results.reading import read_results
from apc_bench.settings.sweep import NAME
from apc_bench.store.run import Run

Make = Callable[..., Any]


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_file_names_are_safe_and_never_meet(first: str, second: str) -> None:
    for name in (first, second):
        assert Path(file_name(name)).name == file_name(name)
        assert not file_name(name).startswith(".")
        assert file_name(name).isascii()
    assert (file_name(first) == file_name(second)) == (first == second)


@given(st.from_regex(NAME, fullmatch=True))
def test_a_valid_category_name_is_its_file_name(name: str) -> None:
    assert file_name(name.strip()) == name.strip()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_bytes_whatever_matplotlibrc_says(
    make_run: Make, tmp_path: Path, ending: str
) -> None:
    results = read_results(make_run(detail=False))
    save(shots_figure(results, None), tmp_path / "a", "x", (ending,))
    with matplotlib.rc_context(
        {"svg.hashsalt": None, "font.size": 30, "text.parse_math": True, "axes.grid": False}
    ):
        save(shots_figure(results, None), tmp_path / "b", "x", (ending,))
    assert (tmp_path / "a" / f"x.{ending}").read_bytes() == (
        tmp_path / "b" / f"x.{ending}"
    ).read_bytes()


def test_pictures_are_300_dots_an_inch_and_name_no_date_or_software(
    make_run: Make, tmp_path: Path
) -> None:
    save(shots_figure(read_results(make_run(detail=False)), "weave"), tmp_path, "x", WITH_PNG)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert "Software" not in picture.info
    for ending in ("svg", "pdf"):
        text = (tmp_path / f"x.{ending}").read_bytes()
        assert b"CreationDate" not in text
        assert b"dc:date" not in text


def lines_of(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    return {
        str(line.get_label()): np.asarray(line.get_ydata(), float)
        for line in figure.axes[panel].lines
    }


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


def test_processes_side_by_side_draw_the_same_bytes(make_run: Make, tmp_path: Path) -> None:
    run = make_run(detail=False)
    results, reader = read_results(run), Run(tmp_path / "nothing stored")
    for folder, processes in (("inline", 1), ("beside", 2)):
        shots, curves = (
            shots_tasks(results, tmp_path / folder),
            curves_tasks(results, tmp_path / folder),
        )
        drawn = perform([*shots.values(), *curves.values()], results, reader, processes=processes)
        assert drawn == [True] * len(shots) + [False] * len(curves)
    files = sorted(path.name for path in (tmp_path / "inline").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "beside").iterdir())
    assert len(files) == 2 * len(shots) + 1  # the mean as PNG too
    assert all(
        (tmp_path / "inline" / name).read_bytes() == (tmp_path / "beside" / name).read_bytes()
        for name in files
    )


def test_a_category_without_readable_curves_has_no_figure(make_run: Make) -> None:
    run = make_run(detail=False)
    run.metric_rows = []
    assert curves_figure(read_results(run), run, "weave") is None


def test_long_curves_arethinned_but_keep_their_ends_and_shape() -> None:
    x = np.linspace(0, 1, 100_000)
    y = np.where(x < 0.001, x * 900, 0.9 + 0.1 * x)
    kept_x, kept_y = thinned(x, y)
    assert len(kept_x) <= POINTS_MAX
    assert (kept_x[0], kept_x[-1], kept_y[-1]) == (x[0], x[-1], y[-1])
    assert np.abs(np.interp(x, kept_x, kept_y) - y)[200:].max() < 0.01


def test_each_method_keeps_its_own_look_and_the_baseline_is_black(make_run: Make) -> None:
    methods = {
        name: {"detector": name[:-1], "backbone": "builtin"}
        for name in ("apc1", "apc2", "patchcore1", "patchcore2", "patchcore3")
    }
    found = looks(read_results(make_run(methods=methods, shots=(1,), seeds=(0,), detail=False)))
    assert found["patchcore1"].colour == BLACK
    assert len({look.colour for look in found.values()}) == 5
    assert len({found[name].dashes for name in ("patchcore1", "patchcore2", "patchcore3")}) == 3


def test_nothing_of_a_figure_lies_outside_of_it_or_over_the_legend(make_run: Make) -> None:
    title = "a title that is so long that it needs two lines or more, with $x_1$ and <b>"
    methods = {
        name: {"detector": name, "backbone": "builtin", "title": f"{title} {name}"}
        for name in ("patchcore", "apc")
    }
    figure = shots_figure(read_results(make_run(methods=methods, detail=False)), None)
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    legend = figure.legends[0].get_window_extent()
    for box in [legend, *(axis.get_tightbbox() for axis in figure.axes)]:
        assert box is not None
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    assert not any(legend.overlaps(axis.get_tightbbox()) for axis in figure.axes)  # type: ignore[arg-type]
