"""`doctor`: what a bug report needs, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apc_bench.cli.help import GroupedCommand
from apc_bench.cli.options import CACHE, JSON, cache_folder
from apc_bench.errors import UsageError

if TYPE_CHECKING:
    from apc_bench.doctor import Fact

EXAMPLES = (
    "apc-bench doctor                    # before a bug report, or on a new machine",
    "apc-bench doctor --quick --json     # for a program, without starting Ray",
)


@click.command(cls=GroupedCommand, examples=EXAMPLES)
@click.option("--quick", is_flag=True, help="Do not start Ray, which takes about ten seconds.")
@CACHE
@JSON
def doctor(quick: bool, cache_path: Path | None, as_json: bool) -> int:
    """What a bug report needs to know of this installation and machine, and what is wrong here.

    Versions, cores, GPUs, temporary folders, whether Ray starts, caches and weights. Ends with 0
    where nothing is wrong, else with 1. Downloads nothing.
    """
    from apc_bench.doctor import examine

    folder, faults, shown = None, [], {}
    try:
        folder = cache_folder(cache_path)
    except UsageError as error:
        faults.append(str(error))
    for fact in examine(folder, start_ray=not quick):
        faults += [fault for fault in fact.faults if fault not in faults]
        shown[fact.name] = fact.value
        if not as_json:
            click.echo(_line(fact))
    if as_json:
        click.echo(json.dumps({"facts": shown, "wrong": faults}, indent=2))
    else:
        click.echo("\n".join(["", *(f"wrong: {fault}" for fault in faults or ("nothing",))]))
    return 1 if faults else 0


def _line(fact: Fact) -> str:
    return f"{fact.name:<12} {fact.text}"
