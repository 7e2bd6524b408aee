"""From a table's cell to the trial whose images lie behind it."""

import re
from collections.abc import Mapping
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, METRICS
from apc_bench.report.drilldown import shown_seeds
from apc_bench.results.aggregate import Results, System
from apc_bench.tables.table import Row, Table

_METRIC = {CATALOGUE[name].heading: name for name in METRICS}

_NO_RESULT = ("shots", "seed", "categories", "missing_trials", "trials")
"""Columns of numbers that no image lies behind."""


class Behind:
    """Finds a cell's trial by what its row and column say: `category`, `system`, `shots` and `seed`
    among the row's fields, or a column headed by a system or a number of shots. What is not said is
    chosen: the system's worst category on that metric, the first seed.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.seeds = frozenset(shown_seeds(results))
        self.systems = {(system.title, system.shots): system for system in results.systems}
        self.labels = {system.label: system for system in results.systems}

    def address(self, table: Table, row: Row, index: int) -> str | None:
        """`#images/CATEGORY/SYSTEM/SEED`, by position, position and number; None where no trial is
        meant, or it has no result.
        """
        column, cell = table.columns[index], row.cells[index]
        said = {
            name: value
            for one, of in zip(table.columns, row.cells, strict=True)
            for name, value in zip(one.fields, of.values, strict=True)
        }
        if (
            cell.text == "–"
            or column.fields[0] in _NO_RESULT
            or not (column.numeric or column.fields == ("category",))
        ):
            return None
        known = next(
            (name for name in self.results.categories if name == said.get("category")), None
        )
        system = self._system(column.title, column.fields, said)
        if system is None and known is not None and column.fields == ("category",):
            system = self.results.at_most_shots()[-1]
        if system is None or ("category" in said and known is None):  # `mean` is no category
            return None
        return self.trial(
            system, known or self._worst(system, said, column.fields), said.get("seed")
        )

    def trial(self, system: System, category: str, seed: Any = None) -> str | None:
        """The address of a trial; of the first seed, where `seed` has no pictures."""
        seeds = [one for one in system.seeds if one in self.seeds]
        number = next((one for one in seeds if one == seed), seeds[0] if seeds else None)
        if number is None or self.results.trials[system, category, number].missing is not None:
            return None
        place = self.results.categories.index(category), self.results.systems.index(system)
        return f"#images/{place[0]}/{place[1]}/{number}"

    def _system(
        self, title: str, fields: tuple[str, ...], said: Mapping[str, Any]
    ) -> System | None:
        by_column = re.match(r"shots_(\d+)_", fields[0])
        shots = int(by_column[1]) if by_column else said.get("shots")
        if by_column and shots == 0:
            return self.results.baseline
        name = str(said.get("system"))
        return (
            self.labels.get(title)
            or self.systems.get((name, shots if isinstance(shots, int) else 0))
            or self.labels.get(name)
        )

    def _worst(self, system: System, said: Mapping[str, Any], fields: tuple[str, ...]) -> str:
        """The category where the metric meant is lowest; the first one where none is meant."""
        metric = _METRIC.get(str(said.get("metric")), fields[0].removesuffix("_percent"))
        means = {
            name: self.results.in_category(system, name, metric)
            for name in self.results.categories
            if metric in METRICS
        }
        values = {name: mean.value for name, mean in means.items() if mean}
        return min(values, key=lambda name: values[name]) if values else self.results.categories[0]
