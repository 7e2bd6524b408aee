"""What a trial takes: seconds by stage, peak memory, and scored images per second."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, COSTS, MEBIBYTES, STAGE_COSTS
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import mean
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import SYSTEM_COLUMNS, number_cell, system_cells
from apc_bench.tables.table import Cell, Column, Note, Row, Table

SECONDS = ("seconds_finetune", *STAGE_COSTS)
MEMORY = tuple(cost for cost in COSTS if CATALOGUE[cost].unit == MEBIBYTES)


def costs(results: Results, run: RunReader) -> Table:
    """A row a system: means of seconds, and the largest memory of its trials."""
    columns = (
        *SYSTEM_COLUMNS,
        *(Column(CATALOGUE[cost].heading, (cost,)) for cost in (*SECONDS, *MEMORY)),
        Column("Images/s", ("images_per_second",)),
        Column("Trials", ("trials",)),
    )
    rows = [_row(results, run, system) for system in results.systems]
    return Table("cost", "Cost", columns, tuple(rows), _notes(results))


def _row(results: Results, run: RunReader, system: System) -> Row:
    trials = results.rows(system)
    seconds = [number_cell(_over(trials, cost, mean), 2) for cost in SECONDS]
    memory = [number_cell(_over(trials, cost, max), 0) for cost in MEMORY]
    rate = number_cell(_images_per_second(trials, run), 1)
    count = Cell(str(len(trials)), (len(trials),))
    return Row((*system_cells(system), *seconds, *memory, rate, count))


def _over(
    trials: Sequence[Mapping[str, Any]], cost: str, how: Callable[[list[float]], float]
) -> float | None:
    values = [row[cost] for row in trials if row[cost] is not None]
    return how(values) if values else None


def _images_per_second(trials: Sequence[Mapping[str, Any]], run: RunReader) -> float | None:
    counts = run.image_counts([row["result_key"] for row in trials])
    spent = math.fsum(row["seconds_search"] or 0.0 for row in trials if row["result_key"] in counts)
    return sum(counts.values()) / spent if spent > 0 else None


def _notes(results: Results) -> tuple[Note, ...]:
    seconds = (
        "wall time, mean over the trials done; the fine-tuning is the extractor's, which several"
        " trials may share"
    )
    images = (
        "scored images (test set, reserve and calibration) by the seconds of the search, which"
        " include their features"
    )
    topics = (about.data, about.image_input, about.completeness, about.computed)
    return (
        Note("Seconds", seconds),
        Note("Peak memory", "the largest of the trials"),
        Note("Images/s", images),
        *about.notes(results, topics),
    )
