"""`status`: how far a sweep is."""

import json
import time
from pathlib import Path

import click

from apc_bench.cli.options import FOLDER, JSON
from apc_bench.cli.streams import output_lost

WATCHED_EVERY = 10.0


@click.command()
@click.argument("run", type=FOLDER)
@JSON
@click.option(
    "--watch", is_flag=True, help="Again every ten seconds until no sweep holds the folder."
)
def status(run: Path, as_json: bool, watch: bool) -> None:
    """What is done, running, failed and left in a run folder, how far each running step is, how
    fast it goes and when it will end.

    Reads the folder's files alone, so it works from any machine that sees them, and after the sweep
    has died.
    """
    from apc_bench.results.page_mark import outdated
    from apc_bench.results.status import as_lines, as_object, read_status
    from apc_bench.store.run import Run

    while True:
        opened = Run.open(run)
        state = read_status(opened)
        page = None if state.held else outdated(opened)
        if as_json:
            click.echo(json.dumps(as_object(state) | ({"page_outdated": page} if page else {})))
        else:
            click.echo("\n".join([*as_lines(state), *([f"the page {page}"] if page else [])]))
        if not (watch and state.held) or output_lost():
            return
        time.sleep(WATCHED_EVERY)
