"""Rows of a table that read its columns: ten thousand trials have millions of figures, of which a
command asks for a few.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl


class Columns:
    """A table's columns, each a list of Python values from when it is first asked for. Pickled as
    the table.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self._values: dict[str, list[Any]] = {}

    @property
    def names(self) -> list[str]:
        """Of the columns, in the table's order."""
        return self._frame.columns

    def values(self, name: str) -> list[Any]:
        """One column, top to bottom. Raises KeyError where there is none of this name."""
        if name not in self._values:
            if name not in self._frame.columns:
                raise KeyError(name)
            self._values[name] = self._frame[name].to_list()
        return self._values[name]

    def rows(self) -> list["ColumnRow"]:
        """Every row, top to bottom."""
        return [ColumnRow(self, index) for index in range(len(self._frame))]

    def __reduce__(self) -> tuple[Callable[..., "Columns"], tuple[pl.DataFrame]]:
        return Columns, (self._frame,)


class ColumnRow(Mapping[str, Any]):
    """One row: column -> value."""

    __slots__ = ("_columns", "_index")

    def __init__(self, columns: Columns, index: int) -> None:
        self._columns = columns
        self._index = index

    def __getitem__(self, name: str) -> Any:
        return self._columns.values(name)[self._index]

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's, without the detour of a Mapping's."""
        try:
            return self._columns.values(name)[self._index]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.names)

    def __len__(self) -> int:
        return len(self._columns.names)
