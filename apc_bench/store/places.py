"""Whose a file of a run is: the columns in front of a table's own that say so, and the folders that
it lies in.

In schema 1 the folders alone said it, as `category=01`, of which readers make numbers, dates and
booleans: 01 and 1 became one category. Since schema 2 the columns do, and no folder's name means
anything to a reader. A run keeps the schema that it was begun in, so that all its files are alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from apc_bench.errors import DamagedFile

HIVE = 1
"""The schema whose folders are named `category=01`."""


def folders_of(schema: int, columns: pa.Schema, row: Mapping[str, Any]) -> str:
    """`mvtec_ad/01/apc/shots-1/seed-0`: where the files of a row's step lie, for `columns` of
    schemas.PLACE. Text, since a report asks for ten thousand and paths are slow.
    """
    if schema == HIVE:
        return "/".join(f"{name}={row[name]}" for name in columns.names)
    return "/".join(_folder(name, row[name]) for name in columns.names)


def _folder(name: str, value: str | int) -> str:
    return value if isinstance(value, str) else f"{name}-{value}"


def placed(schema: int, columns: pa.Schema, row: Mapping[str, Any], table: pa.Table) -> pa.Table:
    """A table with whose it is in every row."""
    if schema == HIVE:
        return table
    values = [pa.repeat(pa.scalar(row[one.name], one.type), len(table)) for one in columns]
    schema_of_all = pa.schema([*columns, *table.schema])
    return pa.Table.from_arrays([*values, *table.columns], schema=schema_of_all)


def without_place(path: Path, schema: int, columns: pa.Schema, table: pa.Schema) -> pa.Schema:
    """The own columns of a table, as a schema without metadata. Raises DamagedFile where others
    stand in front of them.
    """
    fields = [*table]
    if schema == HIVE:
        return pa.schema(fields)
    if not pa.schema(fields[: len(columns)]).equals(columns):
        raise DamagedFile(f"{path}: other columns than expected")
    return pa.schema(fields[len(columns) :])


def was_begun_in_hive(run: Path) -> bool:
    """Whether a run folder holds files of schema 1."""
    folders = (run / kind for kind in ("splits", "metrics"))
    return any(next(folder.glob("dataset=*"), None) is not None for folder in folders)
