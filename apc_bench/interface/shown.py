"""A table of the report, as Jupyter shows it and as programs use it."""

from dataclasses import dataclass

import polars as pl

from apc_bench.interface.facts import Facts
from apc_bench.report.fragment import table_fragment
from apc_bench.tables.latex import table_environment
from apc_bench.tables.render import frame, markdown
from apc_bench.tables.table import Table


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ShownTable:
    """One table of a run's report, with where it comes from."""

    table: Table
    provenance: Facts

    @property
    def title(self) -> str:
        """What stands over it."""
        return self.table.title

    @property
    def definitions(self) -> Facts:
        """What stands under it: how its numbers were made, and what is missing."""
        return Facts((note.label, note.text) for note in self.table.notes)

    @property
    def frame(self) -> pl.DataFrame:
        """Its unrounded values, a row each; fractions lie between 0 and 1."""
        return frame(self.table)

    @property
    def markdown(self) -> str:
        """As readers see it, with its definitions."""
        return markdown(self.table)

    @property
    def latex(self) -> str:
        """As a table environment, for a paper."""
        return table_environment(self.table)

    def __repr__(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        return table_fragment(self.table, self.provenance)
