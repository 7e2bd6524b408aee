from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from apc_bench.report.figure_style import BLACK, WITH_PNG, file_name, looks, save
from apc_bench.report.shots_plots import shots_figure
from apc_bench.results.reading import read_results
from apc_bench.settings.sweep import NAME

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
