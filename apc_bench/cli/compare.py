"""`compare`: a run beside other runs, published figures and other tools' tables."""

import click

from apc_bench.cli.options import Names, Pairs
from apc_bench.cli.streams import json_text


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
    help=("Systems that belong together; may be given several times. [default: those of one name]"),
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
        click.echo(json_text(as_object(found), indent=2))
    else:
        click.echo(as_markdown(found) if form == "markdown" else as_text(found))
    return found.exit_code
