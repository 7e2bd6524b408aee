"""Tables of one thing varied: the number of anomalous samples, and the settings of a method."""

from collections.abc import Mapping, Sequence
from typing import Any

from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.results.aggregate import Results, System
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import label_cell, mean_column, percent_cell, text_column
from apc_bench.tables.table import Cell, Column, Note, Row, Table
from apc_bench.wording import counted

_NOTES = (
    about.values,
    about.data,
    about.test_set,
    about.shots,
    about.image_input,
    about.masks,
    about.f1,
    about.pixel_level,
)
_END = (about.completeness, about.computed)


def by_shots(results: Results) -> Table | None:
    """The mean of each fine-tuned method beside the baseline, a column for each number of shots;
    None where nothing is fine-tuned.
    """
    methods = list(dict.fromkeys(system.method for system in results.systems if not system.frozen))
    if not methods:
        return None
    columns = [
        text_column("Metric"),
        text_column("System"),
    ]
    columns += [
        mean_column(_heading(results, shots), f"shots_{shots}") for shots in (0, *results.shots)
    ]
    rows = [_shots_row(results, method, metric) for metric in POSTER for method in methods]
    zero = "the baseline, which sees none" if results.baseline else "no baseline in this run"
    notes = (Note("Column 0", zero), *about.notes(results, (*_NOTES, *_END)))
    return Table(
        "shots", "By number of anomalous training images", tuple(columns), tuple(rows), notes
    )


def _heading(results: Results, shots: int) -> str:
    if shots:
        return counted(shots, "shot")
    return f"0 ({results.baseline.title})" if results.baseline else "0"


def _shots_row(results: Results, method: str, metric: str) -> Row:
    systems = [system for system in results.systems if system.method == method]
    by_number: dict[int, System] = {system.shots: system for system in systems}
    if results.baseline:
        by_number[0] = results.baseline
    means = results.means(by_number.values(), metric).by_system
    values = [
        means[by_number[shots]] if shots in by_number else None for shots in (0, *results.shots)
    ]
    cells = [percent_cell(value, of=len(results.categories)) for value in values]
    return Row(
        (label_cell(CATALOGUE[metric].heading), label_cell(systems[0].title), *cells), metric
    )


def ablation(results: Results) -> Table | None:
    """Methods of one detector side by side, with the settings in which they differ; None where
    every detector has one method.
    """
    methods: Mapping[str, Mapping[str, Any]] = results.settings.get("methods", {})
    groups = [
        group for group in _by_detector(results) if len({system.method for system in group}) > 1
    ]
    if not groups:
        return None
    columns = [
        text_column("Detector"),
        text_column("System"),
        Column("Shots", ("shots",)),
    ]
    columns += [text_column("Settings")]
    columns += [mean_column(CATALOGUE[metric].heading, metric) for metric in POSTER]
    rows = [row for group in groups for row in _ablation_rows(results, group, methods)]
    notes = (
        Note(
            "Settings",
            "those in which the methods of one detector differ; settings that they share stand"
            " under Provenance",
        ),
        *about.notes(results, (*_NOTES, *_END)),
    )
    return Table("ablation", "Methods by their settings", tuple(columns), tuple(rows), notes)


def _by_detector(results: Results) -> list[list[System]]:
    groups: dict[str, list[System]] = {}
    for system in results.systems:
        groups.setdefault(system.detector, []).append(system)
    return list(groups.values())


def _ablation_rows(
    results: Results, group: Sequence[System], methods: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
    flat = {system.method: dict(_flat("", methods.get(system.method, {}))) for system in group}
    names = dict.fromkeys(
        name for settings in flat.values() for name in settings if name != "title"
    )
    differing = [
        name for name in names if len({str(settings.get(name)) for settings in flat.values()}) > 1
    ]
    compared = {metric: results.means(group, metric).by_system for metric in POSTER}
    rows = []
    for system in group:
        said = ", ".join(
            f"{name.removeprefix('settings.')} {_said(flat[system.method].get(name))}"
            for name in differing
        )
        cells = [
            label_cell(system.detector),
            label_cell(system.title),
            Cell(system.shots_text, (system.shots,)),
            label_cell(said or "–"),
        ]
        cells += [
            percent_cell(compared[metric][system], of=len(results.categories)) for metric in POSTER
        ]
        rows.append(Row(tuple(cells), system.detector))
    return rows


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(f"{name}.{key}" if name else key, inner)
        ]
    return [(name, value)]


def _said(value: Any) -> str:
    return (
        "–"
        if value is None
        else "+".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
    )
