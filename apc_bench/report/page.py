"""The page: everything of a report in one HTML file beside its pictures. No script, nothing from the network."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apc_bench.report.aggregate import Results
from apc_bench.report.folders import reports_folder
from apc_bench.report.table import Table


@dataclass(frozen=True, slots=True)
class Pictures:
    """File names by category; in `shots`, '' is the mean. `shots` and `curves` without ending, in plots/; `gallery` in gallery/."""

    shots: Mapping[str, str]
    curves: Mapping[str, str]
    gallery: Mapping[str, str]
    with_images: bool


def render_page(results: Results, tables: Sequence[Table], pictures: Pictures) -> str:
    """The whole page; everything that a run may name is escaped."""
    environment = Environment(
        loader=FileSystemLoader(reports_folder() / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["address"] = quote
    environment.filters["blocks"] = lambda rows: [list(block) for _, block in groupby(rows, key=lambda row: row.block)]
    return environment.get_template("page.html.j2").render(
        results=results,
        summary=summary(results),
        tables={table.name: table for table in tables},
        pictures=pictures,
        command=command(results),
        provenance=list(provenance(results)),
        settings=json.dumps(results.settings, indent=2, ensure_ascii=False),
    )


def summary(results: Results) -> str:
    """What was run, in a sentence."""
    methods = list(dict.fromkeys(system.title for system in results.systems))
    total = sum(len(system.seeds) for system in results.systems) * len(results.categories)
    missing = sum(len(results.missing(system)) for system in results.systems)
    shots = f", with {_and([str(number) for number in results.shots])} anomalous training images" if results.shots else ""
    done = (
        f"all {total} trials are done"
        if not missing
        else f"{total - missing} of {total} trials are done, {missing} {'is' if missing == 1 else 'are'} missing"
    )
    size = f"{results.settings['image_size']} px, {results.settings['resize']}"
    return (
        f"{_and(methods)} on {_counted(len(results.categories), 'category', 'categories')} of {results.dataset} at {size}{shots}, "
        f"{_counted(len(results.seeds), 'seed', 'seeds')}: {done}."
    )


def command(results: Results) -> str | None:
    """The exact command of the sweep, quoted for a shell."""
    words = results.info.get("command") or results.info.get("environment", {}).get("command")
    return shlex.join([str(word) for word in words]) if words else None


def provenance(results: Results) -> Iterator[tuple[str, str]]:
    """What run.json records besides the settings, as (where, value)."""
    for key, value in results.info.items():
        if key not in ("settings", "command", "left_out", "emptied"):
            yield from _flat(key, value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(item) for item in value)
    elif value is not None:
        yield name, str(value)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
