"""Figures by category: image and pixel AUROC for people, and every single value for programs."""

from collections.abc import Mapping

from apc_bench.metrics.catalogue import AT_THRESHOLD, AUROCS, CATALOGUE, METRICS
from apc_bench.results.aggregate import Results, System
from apc_bench.statistics.differences import deviation, mean
from apc_bench.tables import footnotes as about
from apc_bench.tables.accuracy import best_systems, levels
from apc_bench.tables.cells import best_of, label_cell, mean_column, percent_cell, text_column
from apc_bench.tables.table import Cell, Column, Row, Table, Value

_TOPICS = (
    about.values_of_a_category,
    about.bold,
    about.data,
    about.test_set,
    about.image_input,
    about.masks,
    about.pixel_level,
    *about.STATE,
)


def per_category(results: Results) -> Table:
    """Image and pixel AUROC by category, a column a system, and the mean as in the poster's
    table.
    """
    by_system = [mean_column(system.label, system.label) for system in results.systems]
    rows = []
    metrics = results.shown(AUROCS)
    for metric in metrics:
        rows += [_category_row(results, metric, category) for category in results.categories]
        if len(results.categories) > 1:
            rows.append(_mean_row(results, metric))
    return Table(
        "per_category",
        f"{levels(metrics)} AUROC by category",
        (text_column("Category"), text_column("Metric"), *by_system),
        tuple(rows),
        about.notes(results, _TOPICS),
    )


def _category_row(results: Results, metric: str, category: str) -> Row:
    means = [results.in_category(system, category, metric) for system in results.systems]
    complete = [
        found if found and found.seeds == len(system.seeds) else None
        for found, system in zip(means, results.systems, strict=True)
    ]
    best = best_of(complete)
    cells = [
        percent_cell(found, of=len(system.seeds), best=place in best, per_seed=True)
        for place, (found, system) in enumerate(zip(means, results.systems, strict=True))
    ]
    return Row((label_cell(category), label_cell(CATALOGUE[metric].heading), *cells), metric)


def _mean_row(results: Results, metric: str) -> Row:
    means = results.means(results.systems, metric)
    best = best_systems(means)
    cells = [
        percent_cell(found, of=len(results.categories), best=system in best)
        for system, found in means.by_system.items()
    ]
    return Row((label_cell("mean"), label_cell(CATALOGUE[metric].heading), *cells), metric)


def every_value(results: Results) -> Table:
    """A line a category, system and subset: mean, standard deviation and every seed's value of
    every metric, 0 to 1. For CSV.
    """
    names = ("category", "system", "method", "shots", "subset")
    columns = [Column(name, (name,)) for name in names]
    columns += [_value_column(metric, results) for metric in (*METRICS, *AT_THRESHOLD)]
    rows = [
        _value_row(results, system, category, subset)
        for category in results.categories
        for system in results.systems
        for subset in _subsets(results, system, category)
    ]
    return Table("per_category_wide", "Every value", tuple(columns), tuple(rows), ())


def _value_column(metric: str, results: Results) -> Column:
    by_seed = [f"{metric}_seed_{seed}" for seed in results.seeds]
    return Column(metric, (f"{metric}_mean", f"{metric}_sd", *by_seed))


def _subsets(results: Results, system: System, category: str) -> list[str]:
    """The subsets that any seed was evaluated on."""
    trials = [results.trials[system, category, seed] for seed in system.seeds]
    return sorted({subset for trial in trials for subset in trial.rows})


def _value_row(results: Results, system: System, category: str, subset: str) -> Row:
    cells = [label_cell(text) for text in (category, system.title, system.method)]
    cells += [Cell(str(system.shots), (system.shots,)), label_cell(subset)]
    for metric in (*METRICS, *AT_THRESHOLD):
        by_seed = results.by_seed(system, category, metric, subset)
        values = [by_seed.get(seed) for seed in results.seeds]
        cells.append(Cell("", (*_mean_and_deviation(by_seed), *values)))
    return Row(tuple(cells))


def _mean_and_deviation(by_seed: Mapping[int, float]) -> tuple[Value, Value]:
    values = list(by_seed.values())
    return (mean(values), deviation(values)) if values else (None, None)
