"""The mean of each fine-tuned method by its number of anomalous training images."""

from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.results.aggregate import Results
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import label_cell, mean_column, percent_cell, text_column
from apc_bench.tables.table import Note, Row, Table
from apc_bench.wording import counted


def by_shots(results: Results) -> Table | None:
    """A row a method and metric, a column for each number of shots, the baseline at 0; None where
    nothing is fine-tuned.
    """
    tuned = dict.fromkeys(system.method for system in results.systems if not system.frozen)
    if not tuned:
        return None
    columns = [text_column("Metric"), text_column("System")]
    columns.append(mean_column(_baseline_heading(results), "shots_0"))
    columns += [mean_column(counted(shots, "shot"), f"shots_{shots}") for shots in results.shots]
    rows = [_row(results, method, metric) for metric in results.shown(POSTER) for method in tuned]
    zero = "the baseline, which sees none" if results.baseline else "no baseline in this run"
    notes = about.notes(results, about.OF_VARIANTS)
    return Table(
        "shots",
        "By number of anomalous training images",
        tuple(columns),
        tuple(rows),
        (Note("Column 0", zero), *notes),
    )


def _baseline_heading(results: Results) -> str:
    return f"0 ({results.baseline.title})" if results.baseline else "0"


def _row(results: Results, method: str, metric: str) -> Row:
    systems = [system for system in results.systems if system.method == method]
    by_number = {system.shots: system for system in systems}
    if results.baseline:
        by_number[0] = results.baseline
    means = results.means(by_number.values(), metric).by_system
    cells = [label_cell(CATALOGUE[metric].heading), label_cell(systems[0].title)]
    for shots in (0, *results.shots):
        found = means[by_number[shots]] if shots in by_number else None
        cells.append(percent_cell(found, of=len(results.categories)))
    return Row(tuple(cells), metric)
