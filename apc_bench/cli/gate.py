"""`gate`: what a nightly job asks after its sweep."""

from pathlib import Path
from typing import Any

import click

from apc_bench.cli.options import FOLDER, JSON, Names, Pairs
from apc_bench.cli.streams import json_text


class Drops(click.ParamType[tuple[float, float]]):
    """`0.5` or `0.5,3`: percentage points for the mean over categories and for a single
    category.
    """

    name = "points"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Fails, as click has it, for anything else."""
        if isinstance(value, tuple):
            return value
        try:
            drops = [float(part) for part in str(value).split(",")]
        except ValueError:
            drops = []
        if not 1 <= len(drops) <= 2 or not all(0 <= drop <= 100 for drop in drops):
            self.fail(
                f"'{value}' must be percentage points from 0 to 100, such as 0.5, or 0.5,3 for the"
                " mean and a category",
                param,
                ctx,
            )
        return drops[0], drops[-1]


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--against",
    required=True,
    metavar="RUN|DIR|NAME",
    help=(
        "A run folder; a folder of nights: its newest whole one; published figures such as"
        " mvtec_ad:patchcore_code; or another tool's table."
    ),
)
@click.option(
    "--metric",
    "metrics",
    type=Names(),
    metavar="A,B",
    help="Only these, such as image_auroc,au_pro. [default: image and pixel AUROC and F1]",
)
@click.option(
    "--max-drop",
    type=Drops(),
    metavar="POINTS[,POINTS]",
    help=(
        "Drop that is put up with, of the mean and of a category. If given, too much noise to see"
        " it is exit code 4. [default: 0.5]"
    ),
)
@click.option(
    "--slower",
    type=click.FloatRange(1.0),
    metavar="FACTOR",
    help=(
        "Judge time and memory too: more than FACTOR times is a regression. [default: not judged]"
    ),
)
@click.option(
    "--pair",
    "pairs",
    type=Pairs(),
    multiple=True,
    metavar="METHOD[@SHOTS]=NAME",
    help=("Which system of a table a method is judged against. [default: the one of its name]"),
)
@JSON
@click.option(
    "--junit",
    type=FOLDER,
    metavar="FILE",
    help="Write JUnit XML too, for a CI system. [default: none]",
)
def gate(
    run: Path,
    against: str,
    metrics: tuple[str, ...] | None,
    max_drop: tuple[float, float] | None,
    slower: float | None,
    pairs: tuple[tuple[str, str], ...],
    as_json: bool,
    junit: Path | None,
) -> int:
    """Whether a run is worse than a recorded one, beyond tolerance and noise.

    Pairs trials by category and seed, takes the noise of every category from recorded runs, and
    says which drop it would have found. Exit codes: 0 no regression, 1 a regression, 3 something
    could not be judged (a first night, missing trials, other settings or images), 4 too few seeds
    for --max-drop.
    """
    from apc_bench.gate.format import as_lines, as_object
    from apc_bench.gate.gate import run_gate
    from apc_bench.gate.junit import as_junit
    from apc_bench.gate.verdicts import Asked
    from apc_bench.store.files import write_atomically

    asked: dict[str, Any] = {"slower": slower, "pairs": pairs}
    if metrics:
        asked["metrics"] = tuple(dict.fromkeys(metrics))
    if max_drop:
        asked |= {"mean_drop": max_drop[0] / 100, "category_drop": max_drop[1] / 100, "given": True}
    found = run_gate(run, against, Asked(**asked))
    if junit:
        document = as_junit(found)
        write_atomically(junit, lambda path: path.write_text(document, encoding="utf-8"))
    click.echo(json_text(as_object(found)) if as_json else "\n".join(as_lines(found)))
    return found.exit_code
