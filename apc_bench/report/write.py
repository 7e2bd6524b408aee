"""Writes a report as a whole: beside its place first, then swapped in, so that nobody meets half a
report.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from apc_bench.errors import StorageError, UsageError
from apc_bench.report.drilldown import drilldown_tasks
from apc_bench.report.extent import Extent, extent_of
from apc_bench.report.figures import (
    Known,
    PageFigure,
    PaperFigure,
    page_figures,
    paper_figures,
)
from apc_bench.report.image_scores import score_tasks
from apc_bench.report.page import Illustrations, Plot, render_page
from apc_bench.report.parallel import Task, performed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer, answers
from apc_bench.results.like_normal import with_types_like_normal
from apc_bench.results.memorisation import memorisations
from apc_bench.results.page_mark import INDEX, MARK, mark_of
from apc_bench.results.reading import read_results
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.report_tables import report_tables, write_tables


def write_report(
    run: RunReader,
    *,
    data: Path | None,
    out: Path | None = None,
    results: Results | None = None,
    answered: Sequence[Answer] | None = None,
    all_figures: bool = False,
) -> Path:
    """Writes tables, plots, gallery and page of a run; returns the path of the page.

    `data`: the dataset's folder; None, or a folder that is gone: the gallery shows placeholders.
    `out`: by default RUN/report; an earlier report there is replaced, anything else is left alone
    with a UsageError. `results`, `answered`: what `read_results` and `answers` gave, where
    that is known already. `all_figures`: of a large run too, where else the figures of each
    category are left out (extent.py). The same run gives the same bytes. Raises StorageError when a
    write fails.
    """
    out = (out or run.path / "report").absolute()
    _check_place(out)
    beside = out.with_name(f".{out.name}-{uuid4().hex[:8]}")
    if data is not None and not data.is_dir():
        data = None
    try:
        beside.mkdir(parents=True)
        results = results or with_types_like_normal(read_results(run), run)
        answered = answers(results, run) if answered is None else answered
        known = Known(memorisations(results, run), answered)
        drawings = _drawings(
            results, known, beside, data=data, extent=extent_of(results, all_figures=all_figures)
        )
        with performed(drawings.tasks(results), results, run) as done:
            tables = report_tables(results, run, answered, known.memorised)
            write_tables(tables, results, beside / "tables")
            illustrations = drawings.illustrations(results, done)
        page = render_page(results, tables, illustrations, answered)
        (beside / INDEX).write_text(page, encoding="utf-8")
        (beside / MARK).write_text(mark_of(data), encoding="utf-8")
        _swap(beside, out)
    except OSError as error:
        raise StorageError(f"cannot write the report {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out / INDEX


def _check_place(out: Path) -> None:
    """Raises UsageError where something stands that is no report."""
    is_report = out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))
    if out.exists() and not is_report:
        raise UsageError(
            f"{out} is there already and is no report; name a folder that does not exist"
        )


def _swap(new: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}-{uuid4().hex[:8]}")
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Drawings:
    """What is drawn into `folder`: what the page shows, what lies behind its figures (with the
    images of `data`) and, where the extent has them, the figures for papers that it links to.
    """

    shown: Sequence[PageFigure]
    papers: Sequence[PaperFigure]
    folder: Path
    data: Path | None
    extent: Extent

    def tasks(self, results: Results) -> list[Task]:
        """The longest first."""
        return [
            *drilldown_tasks(results, self.data, self.extent.seeds),
            *score_tasks(results, self.folder / "scores"),
            *(figure.task for figure in self.shown),
            *(figure.task for figure in self.papers),
        ]

    def illustrations(self, results: Results, done: Iterator[Any]) -> Illustrations:
        """Of what the tasks gave, in their order."""
        behind = list(islice(done, len(results.categories)))
        scores = list(islice(done, len(results.categories)))
        plots = [
            Plot(figure.task.name, figure.title, figure.task.svg(), figure.under)
            for figure, drawn in zip(self.shown, islice(done, len(self.shown)), strict=True)
            if drawn
        ]
        files: dict[str, list[tuple[str, str]]] = {}
        for category, name in zip(results.categories, scores, strict=True):
            if name:
                files[category] = [("scores (CSV)", f"scores/{name}")]
        for figure, drawn in zip(self.papers, done, strict=True):
            if drawn:
                files.setdefault(figure.category, []).extend(figure.links(self.folder))
        categories, damaged = _readable(behind)
        unknown = sorted(damaged - set(results.damaged))
        with_images = self.data is not None
        return Illustrations(plots, categories, files, with_images, self.extent, unknown)


def _drawings(
    results: Results, known: Known, folder: Path, *, data: Path | None, extent: Extent
) -> _Drawings:
    shown = page_figures(results, known, folder / "plots", data=data)
    papers = list(paper_figures(results, shown, folder, data=data)) if extent.by_category else []
    return _Drawings(shown, papers, folder, data, extent)


def _readable(
    behind: Sequence[dict[str, Any] | None],
) -> tuple[list[Mapping[str, Any] | None], set[str]]:
    """The drill-downs that have trials, None for the others, and what in all of them was damaged,
    which the page says once.
    """
    damaged: set[str] = set()
    categories: list[Mapping[str, Any] | None] = []
    for category in behind:
        if category is not None:
            damaged.update(category.pop("damaged"))
        categories.append(category if category and category["trials"] else None)
    return categories, damaged
