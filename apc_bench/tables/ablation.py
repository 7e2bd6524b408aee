"""Methods of one detector side by side, with the settings in which they differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apc_bench.metrics.catalogue import POSTER
from apc_bench.results.aggregate import Results, System
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    label_cell,
    metric_columns,
    percent_cell,
    system_cells,
    text_column,
)
from apc_bench.tables.number_format import NONE
from apc_bench.tables.table import Note, Row, Table

_COLUMNS = (text_column("Detector"), *SYSTEM_COLUMNS, text_column("Settings"))


def ablation(results: Results) -> Table | None:
    """A row a system, by detector; None where every detector has one method."""
    rows = []
    for group in _by_detector(results):
        if len({system.method for system in group}) > 1:
            rows += _rows(results, group)
    if not rows:
        return None
    settings = (
        "those in which the methods of one detector differ; settings that they share stand under"
        " Provenance"
    )
    notes = (Note("Settings", settings), *about.notes(results, about.OF_VARIANTS))
    columns = (*_COLUMNS, *metric_columns(results, POSTER))
    return Table("ablation", "Methods by their settings", columns, tuple(rows), notes)


def _by_detector(results: Results) -> list[list[System]]:
    groups: dict[str, list[System]] = {}
    for system in results.systems:
        groups.setdefault(system.detector, []).append(system)
    return list(groups.values())


def _rows(results: Results, group: Sequence[System]) -> list[Row]:
    differing = _differing(results, group)
    means = [results.means(group, metric).by_system for metric in POSTER]
    rows = []
    for system in group:
        title, shots = system_cells(system)
        head = (label_cell(system.detector), title, shots, label_cell(differing[system.method]))
        figures = [percent_cell(of_one[system], of=len(results.categories)) for of_one in means]
        rows.append(Row((*head, *figures), system.detector))
    return rows


def _differing(results: Results, group: Sequence[System]) -> dict[str, str]:
    """Method -> its values of the settings in which the methods of the group differ."""
    methods = results.settings.get("methods", {})
    by_method = {system.method: dict(_flat(methods.get(system.method, {}))) for system in group}
    names = dict.fromkeys(name for settings in by_method.values() for name in settings)
    texts: dict[str, list[str]] = {method: [] for method in by_method}
    for name in names:
        values = {method: settings.get(name) for method, settings in by_method.items()}
        if name != "title" and len({str(value) for value in values.values()}) > 1:
            for method, value in values.items():
                texts[method].append(f"{name.removeprefix('settings.')} {_value(value)}")
    return {method: ", ".join(pairs) or NONE for method, pairs in texts.items()}


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (`a.b`, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _value(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return str(value)
