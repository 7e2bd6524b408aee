"""From a table's cell to the trial whose images lie behind it."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, METRICS
from apc_bench.results.aggregate import Results, System
from apc_bench.tables.table import Column, Row, Table

_METRIC = {CATALOGUE[name].heading: name for name in METRICS}

_NO_RESULT = ("shots", "seed", "categories", "missing_trials", "trials")
"""Columns of numbers that no image lies behind."""

_CATEGORY = ("category",)
"""The fields of the column that names a row's category."""

_OF_SHOTS = re.compile(r"shots_(\d+)_")
"""Fields of a column that is headed by a number of shots."""


class TrialLinks:
    """Finds a cell's trial by what its row and column say: `category`, `system`, `shots` and `seed`
    among the row's fields, or a column headed by a system or a number of shots. What is not said is
    chosen: the system's worst category on that metric, the first seed. `seeds`: those whose trials
    have pictures.
    """

    def __init__(self, results: Results, seeds: Collection[int]) -> None:
        self.results = results
        self.seeds = seeds
        self.systems = {(system.title, system.shots): system for system in results.systems}
        self.labels = {system.label: system for system in results.systems}

    def of_cell(self, table: Table, row: Row, index: int) -> str | None:
        """The address of the trial behind a row's cell in the column `index`; None where no trial
        is meant, or it has no result.
        """
        column = table.columns[index]
        is_category = column.fields == _CATEGORY
        if row.cells[index].text == "–" or column.fields[0] in _NO_RESULT:
            return None
        if not (column.numeric or is_category):
            return None
        fields = _fields(table, row)
        category = fields.get("category")
        if category not in self.results.categories:
            category = None
        system = self._system(column, fields)
        if system is None and category is not None and is_category:
            system = self.results.at_most_shots()[-1]
        if system is None or ("category" in fields and category is None):  # `mean` is no category
            return None
        if category is None:
            category = self._worst(system, column, fields)
        return self.of_trial(system, category, fields.get("seed"))

    def of_trial(self, system: System, category: str, seed: Any = None) -> str | None:
        """`#images/CATEGORY/SYSTEM/SEED`, by position, position and number: of the first seed,
        where `seed` has no pictures; None where the trial has no result.
        """
        seeds = [number for number in system.seeds if number in self.seeds]
        if not seeds:
            return None
        number = seed if seed in seeds else seeds[0]
        if self.results.trials[system, category, number].missing is not None:
            return None
        categories, systems = self.results.categories, self.results.systems
        return f"#images/{categories.index(category)}/{systems.index(system)}/{number}"

    def _system(self, column: Column, fields: Mapping[str, Any]) -> System | None:
        """The system that heads the column, or that the row names."""
        by_column = _OF_SHOTS.match(column.fields[0])
        shots = int(by_column[1]) if by_column else fields.get("shots")
        if by_column and shots == 0:
            return self.results.baseline
        name = str(fields.get("system"))
        return (
            self.labels.get(column.title)
            or self.systems.get((name, shots if isinstance(shots, int) else 0))
            or self.labels.get(name)
        )

    def _worst(self, system: System, column: Column, fields: Mapping[str, Any]) -> str:
        """The category where the metric meant is lowest; the first one where none is meant."""
        by_column = column.fields[0].removesuffix("_percent")
        metric = _METRIC.get(str(fields.get("metric")), by_column)
        values = {}
        if metric in METRICS:
            for category in self.results.categories:
                mean = self.results.in_category(system, category, metric)
                if mean:
                    values[category] = mean.value
        return min(values, key=lambda name: values[name], default=self.results.categories[0])


def _fields(table: Table, row: Row) -> dict[str, Any]:
    """What a row says, by the names of the CSV fields."""
    fields: dict[str, Any] = {}
    for column, cell in zip(table.columns, row.cells, strict=True):
        fields.update(zip(column.fields, cell.values, strict=True))
    return fields
