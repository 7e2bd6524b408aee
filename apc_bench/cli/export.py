"""`export`: what a run gives to other tools."""

from pathlib import Path

import click

from apc_bench.cli.help import GroupedCommand
from apc_bench.cli.options import DATA, FOLDER, Names, photos_of

EXAMPLES = (
    "apc-bench export RUN maps --method apc",
    "apc-bench export RUN picture --image dent/004.png",
)


@click.command(cls=GroupedCommand, examples=EXAMPLES)
@click.argument("run", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--image",
    metavar="NAME",
    help=(
        "Instead, this one test image as PNG pictures of the photo's size: photo, mask, and of each"
        " system the map and the map over the photo. Its path, or the end of it. [default: the maps"
        " of all]"
    ),
)
@click.option(
    "--method",
    metavar="NAME",
    help="Of the job's methods. [default: the only one; of an image, all]",
)
@click.option(
    "--shots", type=int, metavar="N", help="0: a frozen method. [default: the largest number]"
)
@click.option("--seed", type=int, metavar="N", help="Or fold. [default: the first]")
@click.option("--categories", "--category", type=Names(), metavar="A,B", help="[default: all]")
@DATA
def export(
    run: Path,
    out: Path,
    image: str | None,
    method: str | None,
    shots: int | None,
    seed: int | None,
    categories: tuple[str, ...] | None,
    data: Path | None,
) -> None:
    """A run's maps for other tools, or one image in pictures.

    Maps are float32 TIFF at the size of the original images, in the layout that MVTec's evaluation
    script reads: OUT/CATEGORY/test/TYPE/NAME.tiff, with scores.csv and, in export.json, what they
    are. They are smoothed as for the pixel metrics. What a crop cut off gets the smallest value of
    the category's maps: it counts as normal.
    """
    from apc_bench.results.reading import read_results
    from apc_bench.store.run import Run

    opened = Run.open(run)
    results = read_results(opened)
    if image is not None:
        from apc_bench.export.chosen import check_categories
        from apc_bench.export.named import find_image
        from apc_bench.export.pictures import export_pictures, pictured_systems

        systems = pictured_systems(results, method, shots)
        check_categories(results, categories or ())
        wanted = categories or results.categories
        named = find_image(results, opened, image, systems=systems, categories=wanted, seed=seed)
        lines = export_pictures(results, opened, named, systems, photos_of(opened, data), out)
    else:
        from apc_bench.export.chosen import choose_trials
        from apc_bench.export.maps import export_maps

        chosen = choose_trials(
            results, method=method, shots=shots, seed=seed, categories=categories
        )
        lines = export_maps(results, opened, chosen, out)
    for line in lines:
        click.echo(line)
