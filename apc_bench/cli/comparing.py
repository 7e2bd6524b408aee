"""`compare` and `evaluate`: a run beside other runs, other tools' tables, and other methods'
maps.
"""

import json
from pathlib import Path
from typing import Any

import click

from apc_bench.cli.options import FOLDER, Names, Numbers, Pairs


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--metric",
    "metrics",
    type=Names(),
    metavar="A,B",
    help="Only these, such as image_auroc,au_pro. [default: all that both have]",
)
@click.option(
    "--pair",
    "pairs",
    type=Pairs(),
    multiple=True,
    metavar="A[@SHOTS]=B",
    help="Systems that belong together; may be given several times.",
)
@click.option("--markdown", "form", flag_value="markdown", help="As Markdown.")
@click.option("--json", "form", flag_value="json", help="As one JSON object, for programs.")
def compare(
    a: str,
    b: str,
    metrics: tuple[str, ...] | None,
    pairs: tuple[tuple[str, str], ...],
    form: str | None,
) -> int:
    """A minus B: per metric, system and category, with intervals; what one side alone has; and why
    they may differ.

    A and B are run folders, published figures (mvtec_ad, or mvtec_ad:SOURCE), or result tables of
    other tools: results.csv of patchcore-inspection or anomalib, and the seven columns of ADer,
    Dinomaly and INP-Former as a log, Markdown (FILE#HEADING for one table of several), CSV or JSON.
    Exit code 3: nothing could be compared.
    """
    from apc_bench.compare.comparison import compare as compare_sides
    from apc_bench.compare.format import as_markdown, as_object, as_text
    from apc_bench.compare.sources import read_side

    found = compare_sides(read_side(a), read_side(b), metrics=metrics or (), pairs=pairs)
    if form == "json":
        click.echo(json.dumps(as_object(found), indent=2, ensure_ascii=False))
    else:
        click.echo(as_markdown(found) if form == "markdown" else as_text(found))
    return found.exit_code


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
@click.option(
    "--dataset", metavar="NAME", help="What to call the dataset. [default: the folder's name]"
)
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
@click.option(
    "--resize",
    type=click.Choice(["square", "letterbox", "crop"]),
    help="How an image becomes square. [default: square]",
)
@click.option(
    "--cache",
    "cache_path",
    type=FOLDER,
    metavar="DIR",
    help="[default: $APC_BENCH_CACHE or ~/.cache/apc-bench]",
)
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

    from apc_bench.errors import UsageError
    from apc_bench.external.evaluate import EvaluationRequest, settings_of
    from apc_bench.external.evaluate import evaluate as evaluate_maps
    from apc_bench.report import terminal_table
    from apc_bench.results.aggregate import read_results
    from apc_bench.store.cache import Cache, default_folder
    from apc_bench.store.info import is_run
    from apc_bench.store.run import Run

    if is_run(run_path):
        settings, folder = settings_of(Run.open(run_path))
        given = [
            option
            for option, value in flags.items()
            if value is not None and option != "categories"
        ]
        if given:
            raise UsageError(
                f"--{given[0].replace('_', '-')} is that of the run {run_path}; leave it out, or"
                " name a new --run"
            )
        settings, data = {**settings, "categories": flags["categories"]}, data or folder
    else:
        settings = flags
    if data is None:
        raise UsageError("--data DIR is needed for a new run: the dataset that the maps are of")
    asked = EvaluationRequest(maps, scores, name, title, shots, settings)
    for line in evaluate_maps(
        asked,
        data,
        run_path,
        Cache(cache_path or default_folder()),
        say=lambda text: click.echo(text, err=True),
    ):
        click.echo(line)
    Console().print(terminal_table(read_results(Run.open(run_path))))
    click.echo(
        f"run folder: {run_path}; `apc-bench report {run_path}` makes tables, figures and the page"
    )
