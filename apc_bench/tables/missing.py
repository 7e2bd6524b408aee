"""Every trial without a result, with the reason."""

from apc_bench.results.aggregate import Results
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import SYSTEM_COLUMNS, label_cell, system_cells, text_column
from apc_bench.tables.table import Cell, Column, Row, Table

NAME = "missing"


def missing(results: Results) -> Table | None:
    """A row a trial; None when nothing is missing."""
    rows = []
    for system in results.systems:
        for category, seed, reason in results.missing(system):
            place = (label_cell(category), Cell(str(seed), (seed,)))
            rows.append(Row((*system_cells(system), *place, label_cell(reason))))
    if not rows:
        return None
    columns = (
        *SYSTEM_COLUMNS,
        text_column("Category"),
        Column(results.seed_words[0].capitalize(), ("seed",)),
        text_column("Reason"),
    )
    notes = about.notes(results, (about.data,))
    return Table(NAME, "Missing trials", columns, tuple(rows), notes)
