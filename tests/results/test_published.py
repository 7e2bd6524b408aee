"""Published figures: whole, with sources, and when they compare."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apc_bench.results.published import comparable, read_published, why_none
from apc_bench.results.reading import read_results
from apc_bench.tables.accuracy import poster
from apc_bench.tables.table import Table

Make = Callable[..., Any]
MVTEC = read_published()[0].categories


def note(table: Table, label: str) -> str:
    return next(note.text for note in table.notes if note.label == label)


def test_figures_of_other_shots_datasets_or_categories_do_not(make_run: Make) -> None:
    published = read_published()
    few = read_results(
        make_run(categories=MVTEC, dataset="mvtec_ad", shots=(5,), seeds=(0,), detail=False)
    )
    assert {figure.shots for figure, _ in comparable(published, few)} == {0}
    other = read_results(
        make_run(categories=MVTEC, dataset="visa", shots=(10,), seeds=(0,), detail=False)
    )
    assert (comparable(published, other), why_none(published, other)) == ((), None)
    part = read_results(
        make_run(categories=MVTEC[:14], dataset="mvtec_ad", shots=(10,), seeds=(0,), detail=False)
    )
    assert comparable(published, part) == ()
    assert "15 categories, this run has 14" in note(poster(part, published), "Published figures")


def test_published_per_category_figures_average_to_the_published_means() -> None:
    (published,) = read_published()
    by_source = {figure.source: figure for figure in published.figures if figure.per_category}
    assert set(by_source) == {"patchcore_code", "prnet_paper"}
    assert all(
        set(figure.per_category) == set(published.categories) for figure in by_source.values()
    )
    patchcore, prnet = (
        np.mean(list(by_source[name].per_category.values()), axis=0)
        for name in ("patchcore_code", "prnet_paper")
    )
    assert patchcore.round(2).tolist() == [99.16, 98.11]
    assert prnet[1].round(1) == 99.0  # the image figures do not: see the file


def test_every_published_figure_has_a_source() -> None:
    for published in read_published():
        assert {figure.source for figure in published.figures} == set(published.sources)


def test_published_files_of_another_folder_are_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "dataset: d\ncategories: [a]\nsources: {s: S}\nfigures: [{system: A, source: s, shots: 0,"
        " image_auroc: 90}]\n"
    )
    assert read_published(tmp_path)[0].figures[0].means == {"image_auroc": 90}
    (tmp_path / "x.yaml").write_text(
        "dataset: d\ncategories: [a]\nsources: {}\nfigures: [{system: A, source: s, shots: 0,"
        " auroc: 90}]\n"
    )
    with pytest.raises(ValueError, match="auroc"):
        read_published(tmp_path)
