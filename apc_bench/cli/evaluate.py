"""`evaluate`: anomaly maps of other methods, on the same split and with the same metrics."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from apc_bench.cli.options import CACHE, DATASET, FOLDER, RESIZE, Names, Numbers
from apc_bench.errors import UsageError


@click.command()
@click.argument("maps", type=FOLDER)
@click.option(
    "--name",
    required=True,
    metavar="NAME",
    help="What to call the method: letters, digits, '.', '_' and '-'.",
)
@click.option("--title", metavar="TEXT", help="The method's name in tables. [default: NAME]")
@click.option(
    "--scores",
    type=FOLDER,
    metavar="FILE",
    help="CSV: image, score. [default: MAPS/scores.csv, else the largest value of each map]",
)
@click.option(
    "--shots",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Anomalous images a category that it learned from. [default: 0]",
)
@click.option(
    "--run",
    "run_path",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="A new run folder, or a run to stand in beside its methods.",
)
@click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="The dataset in MVTec layout. [default: that of the run]",
)
@DATASET
@click.option(
    "--categories", type=Names(), metavar="A,B", help="Only these. [default: those that have maps]"
)
@click.option("--seeds", type=Numbers(), metavar="N,N", help="Seeds of the split. [default: 0,1,2]")
@click.option(
    "--reserve",
    type=click.IntRange(1),
    metavar="N",
    help="Anomalous images taken out of the test set. [default: 10]",
)
@click.option(
    "--image-size",
    type=int,
    metavar="N",
    help="Pixels of the square input, at which pixel metrics are taken. [default: 224]",
)
@click.option("--resize", type=RESIZE, help="How an image becomes square. [default: square]")
@CACHE
def evaluate(
    maps: Path,
    name: str,
    title: str | None,
    scores: Path | None,
    shots: int,
    run_path: Path,
    data: Path | None,
    cache_path: Path | None,
    **flags: Any,
) -> None:
    """Anomaly maps and scores of any method, on the same split and with the same metrics as ours.

    MAPS/CATEGORY/test/TYPE/NAME.tiff (float) or .npy, of the size of the original image or of the
    input; MAPS/seed=N/CATEGORY/… where each seed has its own. Scores are a CSV file with the
    columns image and score, and category unless the path begins with it; rows whose column split is
    `calibration` are normal training images that the method did not learn from, and calibrate its
    threshold. Then `report`, `compare` and `gate` read the run.
    """
    from rich.console import Console

    from apc_bench.external.evaluate import EvaluationRequest
    from apc_bench.external.evaluate import evaluate as evaluate_maps
    from apc_bench.report import terminal_table
    from apc_bench.results.reading import read_results
    from apc_bench.store.cache import Cache, default_folder
    from apc_bench.store.cache_use import in_use
    from apc_bench.store.info import is_run
    from apc_bench.store.run import Run

    if is_run(run_path):
        flags, folder = _of_run(run_path, flags)
        data = data or folder
    if data is None:
        raise UsageError("--data DIR is needed for a new run: the dataset that the maps are of")
    asked = EvaluationRequest(maps, scores, name, title, shots, flags)
    cache = Cache(cache_path or default_folder())
    with in_use(cache.folder):
        for line in evaluate_maps(asked, data, run_path, cache, say=partial(click.echo, err=True)):
            click.echo(line)
    Console().print(terminal_table(read_results(Run.open(run_path))))
    click.echo(
        f"run folder: {run_path}; `apc-bench report {run_path}` makes tables, figures and the page"
    )


def _of_run(run_path: Path, flags: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """The settings and the dataset of the run that the method is to stand in. Raises UsageError for
    a flag that the run has settled.
    """
    from apc_bench.external.evaluate import settings_of
    from apc_bench.store.run import Run

    settings, data = settings_of(Run.open(run_path))
    for option, value in flags.items():
        if value is not None and option != "categories":
            raise UsageError(
                f"--{option.replace('_', '-')} is that of the run {run_path}; leave it out, or name"
                " a new --run"
            )
    return {**settings, "categories": flags["categories"]}, data
