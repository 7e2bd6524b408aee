"""What tests of tables share."""

from typing import Any

from apc_bench.tables.table import Table


def rows_of(table: Table) -> list[dict[str, Any]]:
    """The values of each row by their columns' fields."""
    fields = [field for column in table.columns for field in column.fields]
    return [
        dict(zip(fields, (value for cell in row.cells for value in cell.values), strict=True))
        for row in table.rows
    ]
