"""`compact`: many small files of a run folder into a few."""

from pathlib import Path

import click

from apc_bench.cli.options import FOLDER


@click.command()
@click.argument("run", type=FOLDER)
def compact(run: Path) -> None:
    """Fold the scores, metrics and curves of finished trials into a few files per category.

    The same rows, for every reader, in files that open faster; a sweep goes on in the folder as
    before. A sweep does it by itself at its end where a hundred trials have files of their own.
    """
    from apc_bench.store.run import Run

    opened = Run.open(run)
    with opened.lock():
        folded = opened.compact()
    for line in opened.damaged:
        click.echo(f"damaged, left as it is: {line}")
    click.echo(folded.line())
