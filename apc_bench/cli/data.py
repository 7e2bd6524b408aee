"""`data list`, `data fetch` and `data synth`: known datasets, and how one comes here."""

import sys
from pathlib import Path

import click

from apc_bench.cli.completion import known_datasets
from apc_bench.cli.help import FullGroup
from apc_bench.cli.options import FOLDER, Names
from apc_bench.errors import UsageError, unknown


@click.group(cls=FullGroup)
def data() -> None:
    """Datasets: what is known, fetched, made and healthy."""


_INTO = click.option(
    "--into",
    type=FOLDER,
    envvar="APC_BENCH_DATA",
    metavar="DIR",
    help="The folder of datasets. [default: $APC_BENCH_DATA, or `datasets` in the cache folder]",
)


def _folder(into: Path | None) -> Path:
    from apc_bench.store.cache import default_folder

    return (into or default_folder() / "datasets").expanduser().absolute()


@data.command("list")
@_INTO
def list_(into: Path | None) -> None:
    """What is known: licence, size, where it comes from, and whether it is here."""
    from rich.console import Console
    from rich.table import Table

    from apc_bench.datasets.catalog import CATALOG
    from apc_bench.datasets.fetching import archive_of, is_here

    folder = _folder(into)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("Name", "Archive", "Source", "Here"):
        table.add_column(title, no_wrap=True)
    table.add_column("Licence")
    for known in CATALOG.values():
        size = f"about {known.size / 1e9:.1f} GB" if known.size else "size not known"
        here = (
            "yes"
            if is_here(known, folder)
            else "archive"
            if archive_of(known, folder).is_file()
            else "no"
        )
        table.add_row(known.name, size, "download" if known.url else "by hand", here, known.licence)
    Console().print(table)
    click.echo(f"folder: {folder}")


@data.command()
@click.argument("name", shell_complete=known_datasets)
@_INTO
@click.option(
    "--archive",
    type=FOLDER,
    metavar="FILE",
    help="The archive, where you have it already. [default: fetched]",
)
@click.option(
    "--accept-licence",
    is_flag=True,
    help="You have read the licence and accept it (asked for on a terminal).",
)
def fetch(name: str, into: Path | None, archive: Path | None, accept_licence: bool) -> None:
    """Fetch dataset NAME, verify it, and make it a folder that a sweep reads.

    The same command again goes on where a download broke off. Where a source cannot be fetched by a
    program, it says what to put where.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from apc_bench.datasets.catalog import CATALOG
    from apc_bench.datasets.fetching import fetch as fetch_dataset
    from apc_bench.datasets.fetching import is_here, place_of

    if name not in CATALOG:
        raise UsageError(unknown("dataset", name, CATALOG))
    known, folder = CATALOG[name], _folder(into)
    if not is_here(known, folder):
        click.echo(f"{known.title}: licence {known.licence}; see {known.page}")
        if known.note:
            click.echo(f"note: {known.note}")
        if not accept_licence:
            _ask(known.title)
        log = Console(stderr=True)
        with Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=log,
            disable=not log.is_terminal,
        ) as bar:
            task = bar.add_task(known.archive, visible=False)
            fetch_dataset(
                known,
                folder,
                archive=archive,
                say=lambda line: log.print(line, soft_wrap=True, highlight=False, markup=False),
                progress=lambda done, total: bar.update(
                    task, completed=done, total=total, visible=True
                ),
            )
    click.echo(f"ready: {place_of(known, folder)}")
    click.echo(f"images counted: {known.expected.known()}")
    click.echo(f"next: apc-bench sweep --data {place_of(known, folder)}")


@data.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option(
    "--categories",
    type=Names(),
    metavar="A,B",
    help="Only these of weave, granite, washer and connector. [default: all]",
)
@click.option(
    "--size", type=int, default=128, show_default=True, metavar="N", help="Pixels of a side."
)
@click.option(
    "--train",
    type=int,
    default=48,
    show_default=True,
    metavar="N",
    help="Normal training images per category.",
)
@click.option(
    "--good",
    type=int,
    default=24,
    show_default=True,
    metavar="N",
    help="Normal test images per category.",
)
@click.option(
    "--per-type",
    type=int,
    default=12,
    show_default=True,
    metavar="N",
    help="Anomalous images per defect type.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Another one, other images."
)
def synth(folder: Path, categories: tuple[str, ...] | None, **numbers: int) -> None:
    """Make a synthetic dataset in the new folder DIR, in MVTec layout with masks: the same numbers
    give the same bytes.
    """
    from apc_bench.datasets.synthetic import CATEGORIES, make_dataset

    make_dataset(folder, categories=categories or CATEGORIES, **numbers)
    click.echo(f"next: apc-bench sweep --data {folder}")


def _ask(title: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            f"the licence of {title} must be accepted: pass --accept-licence once you have read it"
        )
    if not click.confirm("Do you accept this licence?"):
        raise UsageError("not accepted, so nothing was fetched")
