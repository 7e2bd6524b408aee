"""`export`: a run's anomaly maps for other tools."""

from pathlib import Path

import click

from apc_bench.cli.options import FOLDER, Names


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--method", metavar="NAME", help="Of the job's methods. [default: the only one]")
@click.option(
    "--shots", type=int, metavar="N", help="0: a frozen method. [default: the largest number]"
)
@click.option("--seed", type=int, metavar="N", help="[default: the first]")
@click.option("--categories", type=Names(), metavar="A,B", help="[default: all]")
def export(
    run: Path,
    out: Path,
    method: str | None,
    shots: int | None,
    seed: int | None,
    categories: tuple[str, ...] | None,
) -> None:
    """Anomaly maps as float32 TIFF at the size of the original images, in the layout that MVTec's
    evaluation script reads: OUT/CATEGORY/test/TYPE/NAME.tiff, with scores.csv and, in export.json,
    what they are.

    Maps are smoothed as for the pixel metrics. What a crop cut off gets the smallest value of the
    category's maps: it counts as normal.
    """
    from apc_bench.results.export import choose_trials, export_maps
    from apc_bench.results.reading import read_results
    from apc_bench.store.run import Run

    opened = Run.open(run)
    results = read_results(opened)
    chosen = choose_trials(results, method=method, shots=shots, seed=seed, categories=categories)
    for line in export_maps(results, opened, chosen, out):
        click.echo(line)
