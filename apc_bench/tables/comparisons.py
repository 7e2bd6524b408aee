"""Tables beside accuracy: differences to the baseline, what a trial costs, and what failed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, COSTS, METRICS, STAGE_COSTS
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    Difference,
    holm,
    mean,
    paired_difference,
)
from apc_bench.statistics.resampling import RESAMPLES, resampled_interval
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    interval_cell,
    label_cell,
    number_cell,
    p_cell,
    points_cell,
    system_cells,
    text_column,
)
from apc_bench.tables.number_format import p_value
from apc_bench.tables.table import Cell, Column, Note, Row, Table


def differences(results: Results) -> Table | None:
    """Every system minus the baseline, in percentage points, paired by category; None without a
    baseline or a second system.
    """
    baseline = results.baseline
    others = [system for system in results.systems if system != baseline]
    if baseline is None or not others:
        return None
    columns = (
        text_column("Metric"),
        *SYSTEM_COLUMNS,
        Column("Difference", ("difference_points",)),
        Column("95 % interval", ("low_points", "high_points")),
        Column("Resampled", ("resampled_low_points", "resampled_high_points")),
        Column("p", ("p", "reason")),
        Column("p (Holm)", ("p_holm",)),
        Column("Wins/ties/losses", ("wins", "ties", "losses")),
    )
    rows = [row for metric in METRICS for row in _metric_rows(results, metric, others, baseline)]
    return Table(
        "differences",
        f"Differences to {baseline.label}",
        columns,
        tuple(rows),
        _difference_notes(results, baseline),
    )


def _metric_rows(
    results: Results, metric: str, systems: Sequence[System], baseline: System
) -> list[Row]:
    tables = [_seeds_by_category(results, metric, system, baseline) for system in systems]
    found = [
        paired_difference(*({name: mean(one) for name, one in side.items()} for side in table))
        for table in tables
    ]
    corrected = holm([difference.p if difference else None for difference in found])
    rows = []
    for system, (ours, theirs), difference, p_holm in zip(
        systems, tables, found, corrected, strict=True
    ):
        head = (label_cell(CATALOGUE[metric].heading), *system_cells(system))
        resampled = resampled_interval(
            [
                [one - other for one, other in zip(ours[name], theirs[name], strict=True)]
                for name in sorted(ours)
            ]
        )
        rows.append(Row((*head, *_difference_cells(difference, resampled, p_holm)), metric))
    return rows


def _seeds_by_category(
    results: Results, metric: str, system: System, baseline: System
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Category -> figures by seed of both, over the categories that are complete for both and the
    seeds that both have.
    """
    seeds = sorted(set(system.seeds) & set(baseline.seeds))
    shared = (
        sorted(set(results.complete(system, metric)) & set(results.complete(baseline, metric)))
        if seeds
        else []
    )
    ours, theirs = (
        {name: results.by_seed(which, name, metric) for name in shared}
        for which in (system, baseline)
    )
    return {name: [ours[name][seed] for seed in seeds] for name in shared}, {
        name: [theirs[name][seed] for seed in seeds] for name in shared
    }


def _difference_cells(
    difference: Difference | None, resampled: tuple[float, float] | None, p_holm: float | None
) -> tuple[Cell, ...]:
    if difference is None:
        nothing = "no category complete for both"
        unknown = Cell("–", (None, None))
        return (
            Cell("–", (None,)),
            unknown,
            unknown,
            Cell(nothing, (None, nothing)),
            Cell("–", (None,)),
            Cell("–", (0, 0, 0)),
        )
    counts = (difference.wins, difference.ties, difference.losses)
    return (
        points_cell(difference.mean),
        interval_cell(difference.low, difference.high),
        interval_cell(*(resampled or (None, None))),
        p_cell(difference.p, difference.reason),
        Cell(p_value(p_holm), (p_holm,)),
        Cell("/".join(str(count) for count in counts), counts),
    )


def _difference_notes(results: Results, baseline: System) -> tuple[Note, ...]:
    rule = (
        f"system minus {baseline.label}, in percentage points; per category the mean over seeds"
        " first, then over categories, which are the unit"
    )
    test = (
        f"Wilcoxon signed-rank, two-sided, from {CATEGORIES_FOR_A_TEST} categories on; Holm:"
        " corrected for the systems compared on one metric"
    )
    resampled = (
        f"95 % interval by hierarchical resampling: categories, then seeds, {RESAMPLES} times; its"
        f" percentiles are widened for few categories; from {CATEGORIES_FOR_A_TEST} categories on"
    )
    notes = [
        Note("Difference", rule),
        Note("95 % interval", "t interval over categories, from two on"),
        Note("Resampled", resampled),
    ]
    notes.append(Note("p", test))
    if 1 < len(results.categories) < CATEGORIES_FOR_A_TEST:
        few = (
            f"{len(results.categories)} categories: intervals are wide, and no test is made below"
            f" {CATEGORIES_FOR_A_TEST}"
        )
        notes.append(Note("Too little for a claim", few))
    if len(results.categories) == 1:
        notes.append(
            Note(
                "One category",
                "its spread over seeds stands in the tables above; it supports no claim about other"
                " categories",
            )
        )
    topics = (
        about.data,
        about.test_set,
        about.shots,
        about.image_input,
        about.masks,
        about.f1,
        about.au_pro,
        about.completeness,
        about.computed,
    )
    return (*notes, *about.notes(results, topics))


_SECONDS = ("seconds_finetune", *STAGE_COSTS)
_MEMORY = tuple(name for name in COSTS if name not in _SECONDS)


def costs(results: Results, run: RunReader) -> Table:
    """What a trial takes: seconds by stage, peak memory, and scored images per second."""
    columns = (
        *SYSTEM_COLUMNS,
        *(Column(CATALOGUE[cost].heading, (cost,)) for cost in (*_SECONDS, *_MEMORY)),
        Column("Images/s", ("images_per_second",)),
        Column("Trials", ("trials",)),
    )
    notes = (
        Note(
            "Seconds",
            "wall time, mean over the trials done; the fine-tuning is the extractor's, which"
            " several trials may share",
        ),
        Note("Peak memory", "the largest of the trials"),
        Note(
            "Images/s",
            "scored images (test set, reserve and calibration) by the seconds of the search, which"
            " include their features",
        ),
        *about.notes(results, (about.data, about.image_input, about.completeness, about.computed)),
    )
    return Table(
        "cost",
        "Cost",
        columns,
        tuple(_cost_row(results, run, system) for system in results.systems),
        notes,
    )


def _cost_row(results: Results, run: RunReader, system: System) -> Row:
    rows = results.rows(system)
    cells = [*system_cells(system)]
    for name in _SECONDS:
        seconds = _over(rows, name, mean)
        cells.append(number_cell(seconds, 2))
    for name in _MEMORY:
        memory = _over(rows, name, max)
        cells.append(number_cell(memory, 0))
    rate = _images_per_second(rows, run)
    cells.append(number_cell(rate, 1))
    return Row((*cells, Cell(str(len(rows)), (len(rows),))))


def _over(
    rows: Sequence[Mapping[str, Any]], name: str, how: Callable[[list[float]], float]
) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return how(values) if values else None


def _images_per_second(rows: Sequence[Mapping[str, Any]], run: RunReader) -> float | None:
    counts = run.image_counts([row["result_key"] for row in rows])
    spent = math.fsum(row["seconds_search"] or 0.0 for row in rows if row["result_key"] in counts)
    return sum(counts.values()) / spent if spent > 0 else None


def missing(results: Results) -> Table | None:
    """Every trial without a result, with the reason; None when nothing is missing."""
    columns = (
        *SYSTEM_COLUMNS,
        text_column("Category"),
        Column("Seed", ("seed",)),
        text_column("Reason"),
    )
    rows = [
        Row(
            (
                *system_cells(system),
                label_cell(category),
                Cell(str(seed), (seed,)),
                label_cell(reason),
            )
        )
        for system in results.systems
        for category, seed, reason in results.missing(system)
    ]
    return (
        Table(
            "missing", "Missing trials", columns, tuple(rows), about.notes(results, (about.data,))
        )
        if rows
        else None
    )
