"""`export`: what a run gives to other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from apc_bench.cli.help import GroupedCommand
from apc_bench.cli.options import CACHE, DATA, FOLDER, Names, cache_folder, photos_of
from apc_bench.errors import UsageError

if TYPE_CHECKING:
    from apc_bench.export.chosen import Choice

EXAMPLES = (
    "apc-bench export RUN maps --method apc",
    "apc-bench export RUN picture --image dent/004.png",
    "apc-bench export RUN taken-along --detector apc --category bracket",
    "apc-bench export RUN banks --what bank --method patchcore",
    "apc-bench export RUN --to mlflow:http://tracker:5000",
)

EXPERIMENT = "apc-bench"


@click.command(cls=GroupedCommand, examples=EXAMPLES)
@click.argument("run", type=FOLDER)
@click.argument("out", type=FOLDER, required=False)
@click.option(
    "--to",
    metavar="mlflow:URI",
    help=(
        "Instead of a folder OUT, MLflow: its server's address, or another tracking URI of it. It"
        " gets the run's parameters, metrics, tables and page; again, only what is new. [default:"
        " none]"
    ),
)
@click.option(
    "--experiment",
    metavar="NAME",
    help=f"Of --to: MLflow's experiment, made where there is none. [default: {EXPERIMENT}]",
)
@click.option(
    "--what",
    type=click.Choice(["maps", "bank"]),
    default="maps",
    show_default=True,
    help=(
        "Of a method's trials of one seed: the anomaly maps, or the memory banks as indexes of"
        " faiss, which patchcore-inspection's scorer reads."
    ),
)
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
    "--detector",
    metavar="METHOD",
    help=(
        "Instead, a trained detector (PatchCore or APC) of one category as one file that scores"
        " photos without apc-bench, with a script that needs torch and Pillow alone. [default: the"
        " maps of all]"
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
@CACHE
def export(
    run: Path,
    out: Path | None,
    to: str | None,
    experiment: str | None,
    what: str,
    image: str | None,
    detector: str | None,
    method: str | None,
    shots: int | None,
    seed: int | None,
    categories: tuple[str, ...] | None,
    data: Path | None,
    cache_path: Path | None,
) -> None:
    """A run's maps or memory banks for other tools, one image in pictures, a detector to take away.

    Maps are float32 TIFF at the size of the original images, in the layout that MVTec's evaluation
    script reads: OUT/CATEGORY/test/TYPE/NAME.tiff, with scores.csv and, in export.json, what they
    are. They are smoothed as for the pixel metrics. What a crop cut off gets the smallest value of
    the category's maps: it counts as normal.

    Banks are OUT/CATEGORY/nnscorer_search_index.faiss, with the training image, row and column of
    each vector in origins.parquet beside it. What the run did not keep (sweep --features bank) is
    filled once more from the photos, of PatchCore and APC.

    MLflow gets one run: a metric SYSTEM/CATEGORY/METRIC a category, whose steps are the seeds, and
    SYSTEM/METRIC, the mean.
    """
    if to is not None:
        _check_whole(out, what, (image, detector, method, shots, seed, categories))
        lines = _to_tracker(run, to, experiment or EXPERIMENT, data)
    elif out is None:
        raise UsageError("where to? name a folder OUT, or MLflow with --to mlflow:URI")
    elif experiment is not None:
        raise UsageError("--experiment is MLflow's; it goes with --to mlflow:URI")
    else:
        from apc_bench.export.chosen import Choice

        _check_one_is_asked_for(what, image, detector, method)
        choice = Choice(detector or method, shots, seed, categories)
        lines = _to_folder(run, out, what, image, detector, choice, data, cache_path)
    for line in lines:
        click.echo(line)


def _to_folder(
    run: Path,
    out: Path,
    what: str,
    image: str | None,
    detector: str | None,
    choice: Choice,
    data: Path | None,
    cache_path: Path | None,
) -> Iterator[str]:
    """What a folder gets; says what."""
    from apc_bench.results.reading import read_results
    from apc_bench.store.run import Run

    opened = Run.open(run)
    results = read_results(opened)
    if image is not None:
        from apc_bench.export.pictures import export_pictures

        return export_pictures(results, opened, image, choice, photos_of(opened, data), out)
    if detector is None and what == "maps":
        from apc_bench.export.maps import export_maps

        return export_maps(results, opened, choice.trials(results), out)
    from apc_bench.export.bank import export_banks
    from apc_bench.export.detector import export_detector
    from apc_bench.store.cache import Cache

    write = export_detector if detector is not None else export_banks
    cache, photos = Cache(cache_folder(cache_path)), photos_of(opened, data)
    return write(results, opened, choice.trials(results), cache, photos, out)


def _to_tracker(run: Path, to: str, experiment: str, data: Path | None) -> Iterator[str]:
    """Puts the whole run into MLflow, with the page that is there or else a new one; says what.
    Raises UsageError for another tracker.
    """
    tracker, _, uri = to.partition(":")
    if tracker != "mlflow" or not uri:
        raise UsageError(f"--to {to}: must be mlflow:URI, such as mlflow:http://tracker:5000")
    from apc_bench.export.mlflow_tracker import export_to_mlflow
    from apc_bench.export.tracked import tracked_run
    from apc_bench.report import current_page, read_results, write_report
    from apc_bench.store.run import Run

    opened = Run.open(run)
    tracked = tracked_run(read_results(opened), opened)
    photos = photos_of(opened, data)
    with TemporaryDirectory(prefix="apc-bench-") as folder:

        def page() -> Path:
            there = current_page(opened, photos)
            return there or write_report(opened, data=photos, out=Path(folder, "report"))

        yield from export_to_mlflow(tracked, uri, experiment, page)


def _check_whole(out: Path | None, what: str, chosen: Sequence[object]) -> None:
    """Raises UsageError where --to comes with what only a folder takes."""
    if out is not None:
        raise UsageError(f"{out} and --to are two places; name one of them")
    if what != "maps" or any(one is not None for one in chosen):
        raise UsageError(
            "--to takes the whole run: leave --what, --image, --detector, --method, --shots, --seed"
            " and --categories out"
        )


def _check_one_is_asked_for(
    what: str, image: str | None, detector: str | None, method: str | None
) -> None:
    asked = [
        name
        for name, given in (
            ("--what bank", what == "bank"),
            ("--detector", detector is not None),
            ("--image", image is not None),
            ("--method", detector is not None and method is not None),
        )
        if given
    ]
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} ask for different things; pass one of them")
