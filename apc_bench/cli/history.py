"""`history`: how a folder of nights went."""

from pathlib import Path

import click

from apc_bench.cli.options import FOLDER


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--out", type=FOLDER, metavar="FILE", help="Where the page goes. [default: DIR/history.html]"
)
def history(folder: Path, out: Path | None) -> None:
    """A trend page of a folder of nights: every metric and stage by night, and where they changed,
    with the code revisions between.

    Runs that are damaged or half-finished are named, here and on the page.
    """
    from apc_bench.history.page import as_lines, read_history, write_page

    found = read_history(folder)
    page = write_page(found, out or folder / "history.html")
    click.echo("\n".join(as_lines(found)))
    click.echo(f"page: {page.resolve()}")
