"""What is drawn of a small and of a large run, and how the rest is asked for."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apc_bench.report import write_report
from apc_bench.report.extent import SEEDS_MAX, TRIALS_MAX, extent_of
from apc_bench.results.reading import read_results

Make = Callable[..., Any]
BY_CATEGORY = {"gallery/weave.png", "plots/curves_weave.pdf", "plots/curves_weave.svg"}
PAGE_OWN = {
    f"plots/{name}.{ending}" for name in ("shots_weave", "few_weave") for ending in ("pdf", "svg")
}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, make_run: Make) -> Any:
    """A run of 14 trials, which is large here."""
    monkeypatch.setattr("apc_bench.report.extent.TRIALS_MAX", 13)
    return make_run(categories=("weave",), shots=(1,), seeds=tuple(range(SEEDS_MAX + 2)), tests=2)


def files(report: Path) -> dict[str, bytes]:
    found = (path for path in report.rglob("*") if path.is_file())
    return {str(path.relative_to(report)): path.read_bytes() for path in found}


def pictured_seeds(page: bytes) -> set[int]:
    data = re.search(rb'id="category-0">(.*?)</script>', page)
    assert data is not None
    return {int(trial.split("-")[1]) for trial in json.loads(data[1])["trials"]}


def test_a_large_run_is_drawn_as_far_as_its_page_opens_and_all_of_it_when_asked_for(
    large: Any, tmp_path: Path
) -> None:
    brief = files(write_report(large, data=None, out=tmp_path / "brief").parent)
    whole = files(write_report(large, data=None, out=tmp_path / "all", all_figures=True).parent)
    assert whole.keys() - brief.keys() == BY_CATEGORY
    assert brief.keys() < whole.keys()
    assert brief.keys() > PAGE_OWN
    for name, content in brief.items():
        assert name == "index.html" or content == whole[name], name
    page = brief["index.html"].decode()
    assert "apc-bench report RUN --all-figures</code> adds the figures of each category for" in page
    assert "and the pictures of the next 4 seeds." in page
    assert "Of 7 seeds, the first has pictures." in page
    assert "--all-figures" not in whole["index.html"].decode()
    assert pictured_seeds(brief["index.html"]) == {0}
    assert pictured_seeds(whole["index.html"]) == set(range(SEEDS_MAX))
    links = re.findall(r'href="#images/\d+/\d+/(\d+)"', page)
    assert set(links) == {"0"}


def test_a_small_run_is_drawn_as_a_whole(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(1,), seeds=tuple(range(3)), tests=2, detail=False)
    extent = extent_of(read_results(run), all_figures=False)
    assert (extent.by_category, extent.seeds, extent.rest) == (True, (0, 1, 2), None)


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False)])
def test_the_limit_counts_planned_trials(make_run: Make, more: int, *, whole: bool) -> None:
    seeds = tuple(range(TRIALS_MAX // 2 + more))
    run = make_run(categories=("weave",), shots=(1,), seeds=seeds, detail=False)
    run.metric_rows = []
    assert extent_of(read_results(run), all_figures=False).by_category is whole
    assert extent_of(read_results(run), all_figures=True).by_category


def test_one_seed_leaves_no_more_pictures_to_ask_for(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apc_bench.report.extent.TRIALS_MAX", 1)
    run = make_run(categories=("weave",), shots=(1,), seeds=(3,), detail=False)
    extent = extent_of(read_results(run), all_figures=False)
    assert extent.seeds == (3,)
    assert extent.rest == "the figures of each category for papers"
