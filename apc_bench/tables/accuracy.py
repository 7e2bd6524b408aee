"""The tables on accuracy: the poster's, and the wider one with every whole-curve metric."""

from collections.abc import Mapping, Sequence

from apc_bench.metrics.catalogue import CATALOGUE, METRICS, PIXEL, POSTER
from apc_bench.results.aggregate import FULL, TEST, Results, System, SystemMeans
from apc_bench.results.published import PublishedResult, PublishedTable, comparable, why_none
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    best_of,
    count_cells,
    count_columns,
    empty_cell,
    label_cell,
    metric_columns,
    percent_cell,
    system_cells,
    text_column,
)
from apc_bench.tables.number_format import NONE
from apc_bench.tables.table import Cell, Note, Row, Table

COMMON = "common"
"""The block of systems on the test set that all of them share."""


def levels(metrics: Sequence[str]) -> str:
    """`Image and pixel`, or `Image` where no metric is over pixels: how a title begins."""
    pixels = any(CATALOGUE[metric].level == PIXEL for metric in metrics)
    return "Image and pixel" if pixels else "Image"


def poster(results: Results, published: Sequence[PublishedTable]) -> Table:
    """The table of the APC poster: image and pixel AUROC and F1-max of every system, in percent."""
    title = f"{levels(results.shown(POSTER))} AUROC and F1"
    return _overview("poster", title, POSTER, results, published)


def all_metrics(results: Results, published: Sequence[PublishedTable]) -> Table:
    """The poster's table with AP and AU-PRO."""
    return _overview("all_metrics", "All metrics", METRICS, results, published)


def _overview(
    name: str,
    title: str,
    metrics: Sequence[str],
    results: Results,
    published: Sequence[PublishedTable],
) -> Table:
    """A row a system on the common test set, again with the reserve where it is frozen, and the
    published figures that compare.
    """
    columns = (
        *SYSTEM_COLUMNS,
        text_column("Test set", "test_set"),
        *metric_columns(results, metrics),
        *count_columns(results),
    )
    rows = _block(results, results.systems, metrics, TEST)
    with_reserve = [system for system in results.systems if results.rows(system, FULL)]
    rows += _block(results, with_reserve, metrics, FULL)
    figures = comparable(published, results)
    marks: dict[str, str] = {}
    for figure, source in figures:
        mark = marks.setdefault(source, f"[{len(marks) + 1}]")
        rows.append(_published_row(figure, mark, results, metrics))
    further = [metric for metric in metrics if metric not in POSTER]
    notes = (
        *about.notes(results, (*about.OF_SYSTEMS, about.definitions(further))),
        *_sources(marks, why_none(published, results)),
        *about.notes(results, about.STATE),
    )
    return Table(name, title, columns, tuple(rows), notes)


def _block(
    results: Results, systems: Sequence[System], metrics: Sequence[str], subset: str
) -> list[Row]:
    """The rows of one test set; the best are marked on the common one."""
    block = COMMON if subset == TEST else "full"
    means = {metric: results.means(systems, metric, subset) for metric in metrics}
    best = {metric: best_systems(means[metric]) for metric in metrics if subset == TEST}
    rows = []
    for system in systems:
        figures = [
            percent_cell(
                means[metric].by_system[system],
                of=len(results.categories),
                best=system in best.get(metric, ()),
            )
            for metric in metrics
        ]
        head = (*system_cells(system), label_cell(block))
        rows.append(Row((*head, *figures, *count_cells(results, system)), block))
    return rows


def best_systems(means: SystemMeans) -> list[System]:
    """Those with the largest mean as it is shown; none where means do not compare."""
    if not means.shared:
        return []
    systems = list(means.by_system)
    return [systems[place] for place in best_of(list(means.by_system.values()))]


def _published_row(
    figure: PublishedResult, mark: str, results: Results, metrics: Sequence[str]
) -> Row:
    count = len(results.categories)
    head = (
        label_cell(f"{figure.system} {mark}"),
        Cell(str(figure.shots or NONE), (figure.shots,)),
        label_cell("published"),
    )
    figures = [_printed_cell(figure.means.get(metric), count) for metric in metrics]
    counts = (Cell(str(count), (count, None)), empty_cell(2))
    return Row((*head, *figures, *counts), "published")


def _printed_cell(percents: float | None, categories: int) -> Cell:
    if percents is None:
        return Cell(NONE, (None, None, 0))
    return Cell(f"{percents:.2f}", (percents, None, categories))


def _sources(marks: Mapping[str, str], absent: str | None) -> list[Note]:
    """The published figures' sources under their marks, or why there are none."""
    if absent:
        return [Note("Published figures", absent)]
    if not marks:
        return []
    rule = (
        "as their sources print them, means over the same categories; their test sets, input sizes"
        " and protocols may differ from ours"
    )
    sources = [Note(mark, source) for source, mark in marks.items()]
    return [Note("Published figures", rule), *sources]
