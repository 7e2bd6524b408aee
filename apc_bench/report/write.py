"""Writes a report as a whole: beside its place first, then swapped in, so that nobody meets half a
report.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from apc_bench.errors import StorageError, UsageError
from apc_bench.report.drilldown import drilldowns
from apc_bench.report.gain_heatmap import heat_drawing
from apc_bench.report.gallery import gallery_drawings
from apc_bench.report.image_scores import score_tasks
from apc_bench.report.page import Pictures, Plot, render_page
from apc_bench.report.parallel import Drawing, Task, perform
from apc_bench.report.plots import curves_drawings, shots_drawings
from apc_bench.report.ranks import ranks_drawing
from apc_bench.report.shots_curve import few_drawings
from apc_bench.results.aggregate import Results, read_results
from apc_bench.results.crossfit import CrossFitSummary, crossfit_summaries
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.report_tables import report_tables, write_tables

MARK = ".apc-bench-report"
INDEX = "index.html"


def write_report(
    run: RunReader,
    *,
    data: Path | None,
    out: Path | None = None,
    results: Results | None = None,
    found: Sequence[CrossFitSummary] | None = None,
) -> Path:
    """Writes tables, plots, gallery and page of a run; returns the path of the page.

    `data`: the dataset's folder; None, or a folder that is gone: the gallery shows placeholders.
    `out`: by default RUN/report; an earlier report there is replaced, anything else is left alone
    with a UsageError. `results`, `found`: what `read_results` and `crossfit_summaries` gave, where
    that is known already. The same run gives the same bytes. Raises StorageError when a write
    fails.
    """
    out = (out or run.path / "report").absolute()
    _check_place(out)
    beside = out.with_name(f".{out.name}-{uuid4().hex[:8]}")
    try:
        beside.mkdir(parents=True)
        results = results or read_results(run)
        found = crossfit_summaries(results, run) if found is None else found
        _write(
            results, found, run, beside, data=data if data is not None and data.is_dir() else None
        )
        _swap(beside, out)
    except OSError as error:
        raise StorageError(f"cannot write the report {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out / INDEX


def _check_place(out: Path) -> None:
    if out.exists() and not (out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))):
        raise UsageError(
            f"{out} is there already and is no report; name a folder that does not exist"
        )


def _swap(new: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}-{uuid4().hex[:8]}")
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _write(
    results: Results,
    found: Sequence[CrossFitSummary],
    run: RunReader,
    folder: Path,
    *,
    data: Path | None,
) -> None:
    tables = report_tables(results, run, found)
    write_tables(tables, results, folder / "tables")
    pictures = _write_pictures(results, run, folder, data=data)
    (folder / INDEX).write_text(render_page(results, tables, pictures, found), encoding="utf-8")
    (folder / MARK).write_text(
        "made by apc-bench; replaced as a whole by the next report\n", encoding="utf-8"
    )


def page_figures(results: Results, folder: Path) -> list[tuple[Drawing, str, str]]:
    """The figures that the page shows besides the tables: (drawing, what it shows, the name of the
    table that it stands under).
    """
    shots = next(
        iter(shots_drawings(results, folder).values())
    )  # of the mean over categories, or of the only one
    said = "Metrics by number of anomalous training images; bands: ± standard deviation over seeds"
    joined = "Average ranks; a bar joins systems that cannot be told apart"
    few = next(iter(few_drawings(results, folder).values()), None)
    how_few = "How few samples: the baseline at 0; bands: 95 % interval over seeds"
    return [
        (shots, said, "shots"),
        *([(few, how_few, "shots")] if few else []),
        (heat_drawing(results, folder), "Gain over the baseline by category", "gains"),
        (ranks_drawing(results, folder), joined, "ranks"),
    ]


def _write_pictures(
    results: Results, run: RunReader, folder: Path, *, data: Path | None
) -> Pictures:
    """Draws everything, side by side: what the page shows, what it links to for papers, and what
    lies behind its figures.
    """
    shown = page_figures(results, folder / "plots")
    drawn_before = {one.name for one, *_ in shown}
    papers = {
        "shots": {
            name: one
            for name, one in shots_drawings(results, folder / "plots").items()
            if one.name not in drawn_before
        },
        "few": {
            name: one
            for name, one in few_drawings(results, folder / "plots").items()
            if one.name not in drawn_before
        },
        "curves": curves_drawings(results, folder / "plots"),
        "gallery": gallery_drawings(results, folder / "gallery", data=data),
    }
    behind: list[Task] = [
        *drilldowns(results, data),
        *score_tasks(results, folder / "scores"),
    ]  # first, for they take longest
    figures = [drawing for drawing, *_ in shown] + [
        drawing for kind in papers.values() for drawing in kind.values()
    ]
    done = iter(perform([*behind, *figures], results, run))
    categories = [next(done) for _ in results.categories]
    damaged = sorted(
        {line for category in categories if category for line in category.pop("damaged")}
        - set(results.damaged)
    )
    categories = [category if category and category["trials"] else None for category in categories]
    scores = [next(done) for _ in results.categories]
    plots = [Plot(one.name, title, one.svg(), under) for one, title, under in shown if next(done)]
    drawn = [
        (kind, category, drawing)
        for kind, drawings in papers.items()
        for category, drawing in drawings.items()
        if next(done)
    ]
    files: dict[str, list[tuple[str, str]]] = {
        category: [("scores (CSV)", f"scores/{name}")]
        for category, name in zip(results.categories, scores, strict=True)
        if name
    }
    for kind, category, drawing in drawn:
        place = drawing.folder.relative_to(folder)
        files.setdefault(category, []).extend(
            (f"{kind} ({ending.upper()})", f"{place}/{drawing.name}.{ending}")
            for ending in drawing.formats
        )
    return Pictures(plots, categories, files, data is not None, damaged)
