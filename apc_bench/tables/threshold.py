"""What a threshold reaches that was calibrated on normal training images alone (docs/method.md
section 5).
"""

from collections.abc import Mapping

from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.results.aggregate import Mean, Results, System
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    count_cells,
    count_columns,
    empty_cell,
    mean_column,
    number_cell,
    percent_cell,
    system_cells,
)
from apc_bench.tables.number_format import percent
from apc_bench.tables.table import Cell, Column, Note, Row, Table

RATES = {"f1_calibrated": "f1", "missed_rate": "missed", "false_alarm_rate": "false_alarms"}
"""Metric -> the beginning of its fields in the CSV file."""
BOUNDS = ("false_alarm_low", "false_alarm_high")


def threshold(results: Results) -> Table:
    """A row a system: F1, missed defects and false alarms beside the rate that was allowed."""
    columns = (
        *SYSTEM_COLUMNS,
        *(mean_column(CATALOGUE[metric].heading, field) for metric, field in RATES.items()),
        Column("95 % interval", ("false_alarms_low_percent", "false_alarms_high_percent")),
        Column("Allowed", ("false_alarms_allowed_percent",)),
        *count_columns(results),
    )
    means = {
        metric: results.means(results.systems, metric).by_system for metric in (*RATES, *BOUNDS)
    }
    rows = []
    for system in results.systems:
        own = {metric: by_system[system] for metric, by_system in means.items()}
        rates = [percent_cell(own[metric], of=len(results.categories)) for metric in RATES]
        cells = (*rates, _interval_cell(own), _allowed_cell(results, system))
        rows.append(Row((*system_cells(system), *cells, *count_cells(results, system))))
    return Table("threshold", "At the calibrated threshold", columns, tuple(rows), _notes(results))


def _interval_cell(means: Mapping[str, Mean | None]) -> Cell:
    low, high = (means[bound] for bound in BOUNDS)
    if low is None or high is None:
        return empty_cell(2)
    text = f"{percent(low.value)} to {percent(high.value)}"
    return Cell(text, (100 * low.value, 100 * high.value))


def _allowed_cell(results: Results, system: System) -> Cell:
    """The rate that was asked for, where the system's trials agree on one."""
    allowed = {row["false_alarms_allowed"] for row in results.rows(system)} - {None}
    return number_cell(100 * allowed.pop() if len(allowed) == 1 else None, 2)


def _notes(results: Results) -> tuple[Note, ...]:
    definition = (
        "the quantile of the scores of normal images that were never in the bank they are scored"
        " against, at the allowed false-alarm rate; it never saw the test set. F1, missed defects"
        " (anomalous images called normal) and false alarms (normal images called anomalous) are of"
        " the common test set"
    )
    interval = (
        "of the false-alarm rate: Clopper-Pearson bounds of the trials, averaged like the rates"
        " (wider than one for the mean)"
    )
    topics = (about.data, about.test_set, about.shots, about.image_input, *about.STATE_AT_THRESHOLD)
    values, *others = about.notes(results, (about.values, *topics))
    return (values, Note("Threshold", definition), Note("95 % interval", interval), *others)
