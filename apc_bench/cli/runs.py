"""`status` and `report`: what a run folder holds."""

import json
import time
from pathlib import Path

import click

from apc_bench.cli.options import FOLDER
from apc_bench.errors import UsageError

WATCHED_EVERY = 10.0


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs.")
@click.option(
    "--watch", is_flag=True, help="Again every ten seconds until no sweep holds the folder."
)
def status(run: Path, as_json: bool, watch: bool) -> None:
    """What is done, running, failed and left in a run folder, how fast it goes and when it will
    end.

    Reads the folder's files alone, so it works from any machine that sees them, and after the sweep
    has died.
    """
    from apc_bench.results.status import as_lines, as_object
    from apc_bench.results.status import status as read_status
    from apc_bench.store.run import Run

    while True:
        state = read_status(Run.open(run))
        click.echo(json.dumps(as_object(state)) if as_json else "\n".join(as_lines(state)))
        if not (watch and state.held):
            return
        time.sleep(WATCHED_EVERY)


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="The dataset, for the pictures. [default: where the sweep found it]",
)
@click.option(
    "--without-images",
    is_flag=True,
    help=(
        "Names in the place of the dataset's images, to publish a report of images that are not"
        " yours."
    ),
)
@click.option("--out", type=FOLDER, metavar="DIR", help="Where to. [default: RUN/report]")
def report(run: Path, data: Path | None, without_images: bool, out: Path | None) -> None:
    """Tables, plots and the page of a run folder."""
    from rich.console import Console

    from apc_bench.datasets.tree import root_of
    from apc_bench.report import (
        crossfit_summaries,
        read_results,
        sentences,
        terminal_table,
        write_report,
    )
    from apc_bench.store.run import Run

    if data is not None and not data.is_dir():
        raise UsageError(
            f"no such folder: {data} (--data takes the dataset that the run was swept over)"
        )
    opened = Run.open(run)
    results = read_results(opened)
    found = root_of(data.resolve()) if data else opened.info.data
    told = crossfit_summaries(results, opened)
    page = write_report(
        opened, data=None if without_images else found, out=out, results=results, summaries=told
    )
    Console().print(terminal_table(results))
    for line in (line for answer in told for line in sentences(answer)):
        click.echo(line)
    click.echo(f"page: {page}")
