"""The tables on accuracy: the poster's, the wider one, the calibrated threshold, and per
category.
"""

from collections.abc import Mapping, Sequence

from apc_bench.metrics.catalogue import AT_THRESHOLD, AUROCS, CATALOGUE, METRICS, POSTER
from apc_bench.results.aggregate import FULL, TEST, Mean, Results, System, SystemMeans
from apc_bench.results.published import PublishedResult, PublishedTable, comparable, why_none
from apc_bench.statistics.differences import deviation, mean
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    best_of,
    empty_cell,
    label_cell,
    mean_column,
    number_cell,
    percent_cell,
    system_cells,
    text_column,
)
from apc_bench.tables.number_format import percent
from apc_bench.tables.table import Cell, Column, Note, Row, Table

COMMON = "common"

_IDENTITY = (
    *SYSTEM_COLUMNS,
    Column("Test set", ("test_set",), numeric=False),
)
_COMMON = (
    about.values,
    about.bold,
    about.data,
    about.test_set,
    about.shots,
    about.image_input,
    about.masks,
    about.f1,
    about.pixel_level,
)
_END = (about.completeness, about.remarks, about.computed)


def poster(results: Results, published: tuple[PublishedTable, ...]) -> Table:
    """The table of the APC poster: image and pixel AUROC and F1-max of every system, in percent."""
    return _overview(results, published, "poster", "Image and pixel AUROC and F1", POSTER, ())


def all_metrics(results: Results, published: tuple[PublishedTable, ...]) -> Table:
    """The poster's table with AP and AU-PRO."""
    return _overview(results, published, "all_metrics", "All metrics", METRICS, (about.au_pro,))


def _overview(
    results: Results,
    published: tuple[PublishedTable, ...],
    name: str,
    title: str,
    metrics: Sequence[str],
    topics: tuple[about.Topic, ...],
) -> Table:
    columns = (
        *_IDENTITY,
        *(mean_column(CATALOGUE[metric].heading, metric) for metric in metrics),
        Column("Categories × seeds", ("categories", "seeds")),
        Column("Missing", ("missing_trials", "trials")),
    )
    full = [system for system in results.systems if results.rows(system, FULL)]
    rows = _block(results, results.systems, metrics, TEST, COMMON) + _block(
        results, full, metrics, FULL, "full"
    )
    figures = comparable(published, results)
    sources = {
        source: f"[{number}]"
        for number, source in enumerate(dict.fromkeys(source for _, source in figures), 1)
    }
    rows += [
        _published_row(figure, sources[source], results, metrics) for figure, source in figures
    ]
    notes = (
        about.notes(results, (*_COMMON, *topics))
        + _sources(sources, why_none(published, results))
        + about.notes(results, _END)
    )
    return Table(name, title, columns, tuple(rows), notes)


def _block(
    results: Results, systems: Sequence[System], metrics: Sequence[str], subset: str, block: str
) -> list[Row]:
    compared = {metric: results.means(systems, metric, subset) for metric in metrics}
    best = {
        metric: _best(systems, compared[metric]) if subset == TEST else set() for metric in metrics
    }
    rows = []
    for index, system in enumerate(systems):
        cells = [
            percent_cell(
                compared[metric].by_system[system],
                of=len(results.categories),
                best=index in best[metric],
            )
            for metric in metrics
        ]
        rows.append(
            Row(
                (*system_cells(system), label_cell(block), *cells, *_counts(results, system)), block
            )
        )
    return rows


def _best(systems: Sequence[System], comparison: SystemMeans) -> set[int]:
    return (
        best_of([comparison.by_system[system] for system in systems])
        if comparison.shared
        else set()
    )


def _counts(results: Results, system: System) -> tuple[Cell, Cell]:
    categories, seeds = len(results.categories), len(system.seeds)
    missing, trials = len(results.missing(system)), categories * seeds
    return Cell(f"{categories} × {seeds}", (categories, seeds)), Cell(
        f"{missing} of {trials}" if missing else "0", (missing, trials)
    )


def _published_row(
    figure: PublishedResult, mark: str, results: Results, metrics: Sequence[str]
) -> Row:
    cells = [
        label_cell(f"{figure.system} {mark}"),
        Cell(str(figure.shots or "–"), (figure.shots,)),
        label_cell("published"),
    ]
    for metric in metrics:
        value: float | None = getattr(figure, metric)
        cells.append(
            Cell(
                "–" if value is None else f"{value:.2f}",
                (value, None, 0 if value is None else len(results.categories)),
            )
        )
    return Row(
        (
            *cells,
            Cell(str(len(results.categories)), (len(results.categories), None)),
            empty_cell(2),
        ),
        "published",
    )


def _sources(sources: Mapping[str, str], absent: str | None) -> tuple[Note, ...]:
    """The published figures' sources under their marks, or why there are none."""
    if absent:
        return (Note("Published figures", absent),)
    if not sources:
        return ()
    rule = (
        "as their sources print them, means over the same categories; their test sets, input sizes"
        " and protocols may differ from ours"
    )
    return (
        Note("Published figures", rule),
        *(Note(mark, source) for source, mark in sources.items()),
    )


def threshold(results: Results) -> Table:
    """What a threshold reaches that was calibrated on normal training images alone (docs/method.md
    section 5).
    """
    columns = (
        *_IDENTITY[:2],
        mean_column("F1", "f1"),
        mean_column("Missed defects", "missed"),
        mean_column("False alarms", "false_alarms"),
        Column("95 % interval", ("false_alarms_low_percent", "false_alarms_high_percent")),
        Column("Allowed", ("false_alarms_allowed_percent",)),
        Column("Categories × seeds", ("categories", "seeds")),
        Column("Missing", ("missing_trials", "trials")),
    )
    names = (
        "f1_calibrated",
        "missed_rate",
        "false_alarm_rate",
        "false_alarm_low",
        "false_alarm_high",
    )
    compared = {name: results.means(results.systems, name).by_system for name in names}
    rows = [
        _threshold_row(results, system, {name: compared[name][system] for name in names})
        for system in results.systems
    ]
    definition = Note(
        "Threshold",
        "the quantile of the scores of normal images that were never in the bank they are scored"
        " against, at the allowed false-alarm rate; it never saw the test set. F1, missed defects"
        " (anomalous images called normal) and false alarms (normal images called anomalous) are of"
        " the common test set",
    )
    interval = Note(
        "95 % interval",
        "of the false-alarm rate: Clopper-Pearson bounds of the trials, averaged like the rates"
        " (wider than one for the mean)",
    )
    topics = (about.values, about.data, about.test_set, about.shots, about.image_input, *_END)
    first, *others = about.notes(results, topics)
    return Table(
        "threshold",
        "At the calibrated threshold",
        columns,
        tuple(rows),
        (first, definition, interval, *others),
    )


def _threshold_row(results: Results, system: System, means: Mapping[str, Mean | None]) -> Row:
    of = len(results.categories)
    low, high = means["false_alarm_low"], means["false_alarm_high"]
    interval = empty_cell(2)
    if low and high:
        interval = Cell(
            f"{percent(low.value)} to {percent(high.value)}", (100 * low.value, 100 * high.value)
        )
    allowed = {
        row["false_alarms_allowed"]
        for row in results.rows(system)
        if row["false_alarms_allowed"] is not None
    }
    shared = allowed.pop() if len(allowed) == 1 else None
    rates = (
        percent_cell(means[name], of=of)
        for name in ("f1_calibrated", "missed_rate", "false_alarm_rate")
    )
    limit = number_cell(None if shared is None else 100 * shared, 2)
    return Row((*system_cells(system), *rates, interval, limit, *_counts(results, system)))


def per_category(results: Results) -> Table:
    """Image and pixel AUROC by category, a column a system, and the mean as in the poster's
    table.
    """
    columns = [
        text_column("Category"),
        text_column("Metric"),
    ]
    columns += [mean_column(system.label, system.label) for system in results.systems]
    rows = [row for metric in AUROCS for row in _category_rows(results, metric)]
    topics = (
        about.values_of_a_category,
        about.bold,
        about.data,
        about.test_set,
        about.image_input,
        about.masks,
        about.pixel_level,
        *_END,
    )
    return Table(
        "per_category",
        "Image and pixel AUROC by category",
        tuple(columns),
        tuple(rows),
        about.notes(results, topics),
    )


def _category_rows(results: Results, metric: str) -> list[Row]:
    rows = []
    for category in results.categories:
        means = [results.in_category(system, category, metric) for system in results.systems]
        whole = [
            value if value and value.seeds == len(system.seeds) else None
            for value, system in zip(means, results.systems, strict=True)
        ]
        best = best_of(whole)
        cells = [label_cell(category), label_cell(CATALOGUE[metric].heading)]
        for index, (value, system) in enumerate(zip(means, results.systems, strict=True)):
            cells.append(
                percent_cell(value, of=len(system.seeds), best=index in best, per_seed=True)
            )
        rows.append(Row(tuple(cells), metric))
    if len(results.categories) > 1:
        comparison = results.means(results.systems, metric)
        best = _best(results.systems, comparison)
        cells = [label_cell("mean"), label_cell(CATALOGUE[metric].heading)]
        for index, system in enumerate(results.systems):
            cells.append(
                percent_cell(
                    comparison.by_system[system], of=len(results.categories), best=index in best
                )
            )
        rows.append(Row(tuple(cells), metric))
    return rows


def every_value(results: Results) -> Table:
    """One line per category, system and subset: mean, standard deviation and every seed's value of
    every metric, 0 to 1. For CSV.
    """
    seeds, metrics = results.seeds, (*METRICS, *AT_THRESHOLD)
    columns = [
        Column(name, (name,)) for name in ("category", "system", "method", "shots", "subset")
    ]
    columns += [
        Column(
            metric, (f"{metric}_mean", f"{metric}_sd", *(f"{metric}_seed_{seed}" for seed in seeds))
        )
        for metric in metrics
    ]
    rows = []
    for category in results.categories:
        for system in results.systems:
            for subset in sorted(
                {
                    subset
                    for seed in system.seeds
                    for subset in results.trials[system, category, seed].rows
                }
            ):
                cells = [label_cell(text) for text in (category, system.title, system.method)]
                cells += [Cell(str(system.shots), (system.shots,)), label_cell(subset)]
                for metric in metrics:
                    found = results.by_seed(system, category, metric, subset)
                    spread = (
                        (mean(list(found.values())), deviation(list(found.values())))
                        if found
                        else (None, None)
                    )
                    cells.append(Cell("", (*spread, *(found.get(seed) for seed in seeds))))
                rows.append(Row(tuple(cells)))
    return Table("per_category_wide", "Every value", tuple(columns), tuple(rows), ())
