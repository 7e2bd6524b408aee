"""`report`: tables, figures and the page of a run folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apc_bench.cli.options import DATA, FOLDER, photos_of

if TYPE_CHECKING:
    from apc_bench.results.aggregate import Results
    from apc_bench.results.answer import Answer
    from apc_bench.store.run import Run


@click.command()
@click.argument("run", type=FOLDER)
@DATA
@click.option(
    "--without-images",
    is_flag=True,
    help=(
        "Names in the place of the dataset's images, to publish a report of images that are not"
        " yours."
    ),
)
@click.option(
    "--all-figures",
    is_flag=True,
    help=(
        "Of a run of more than 500 trials too, draw the figures of each category and pictures of"
        " five seeds; else it has those of the whole run, and pictures of the first seed."
    ),
)
@click.option("--out", type=FOLDER, metavar="DIR", help="Where to. [default: RUN/report]")
def report(
    run: Path, data: Path | None, without_images: bool, all_figures: bool, out: Path | None
) -> None:
    """Tables, plots and the page of a run folder."""
    from apc_bench.store.run import Run

    opened = Run.open(run)
    images = photos_of(opened, data)
    if without_images:
        images = None
    click.echo(f"page: {show(opened, images, out, all_figures=all_figures)}")


def show(
    run: Run,
    data: Path | None,
    out: Path | None = None,
    *,
    all_figures: bool = False,
    page: Path | None = None,
) -> Path:
    """Writes the report with the images in `data`, prints its table and sentences, and returns the
    page. `all_figures`: as `write_report`. `page`: one that is there already, which is kept.
    """
    from apc_bench.report import extent_of, write_report

    results, answered = _found(run)
    rest = None
    if page is None:
        rest = extent_of(results, all_figures=all_figures).rest
        page = write_report(
            run, data=data, out=out, results=results, answered=answered, all_figures=all_figures
        )
    _tell(results, answered)
    if rest is not None:
        command = shlex.join(["apc-bench", "report", str(run.path), "--all-figures"])
        click.echo(f"not drawn, as the run is large: {rest}; `{command}` draws them")
    return page


def show_table(run: Run) -> None:
    """Prints the table and the sentences of a report, and writes none."""
    _tell(*_found(run))


def _found(run: Run) -> tuple[Results, list[Answer]]:
    from apc_bench.report import answers, read_results, with_types_like_normal

    results = with_types_like_normal(read_results(run), run)
    return results, answers(results, run)


def _tell(results: Results, answered: list[Answer]) -> None:
    from rich.console import Console

    from apc_bench.report import answer_in_words, remarks, terminal_table

    Console().print(terminal_table(results))
    for remark in remarks(results):
        click.echo(remark)
    for paragraph in answer_in_words(results, answered):
        for line in paragraph:
            click.echo(line)
