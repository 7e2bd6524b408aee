"""`data check`: is a dataset fit for a sweep?"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from apc_bench.cli.options import BITS, FOLDER, RESIZE
from apc_bench.errors import StorageError, UsageError

if TYPE_CHECKING:
    from apc_bench.datasets.check.health import Looks
    from apc_bench.datasets.geometry import Resize


@click.command()
@click.argument("root", type=FOLDER, metavar="DIR")
@click.option(
    "--image-size",
    type=click.IntRange(16, 4096),
    default=224,
    show_default=True,
    metavar="N",
    help="Pixels of the square input, of the sweep that is planned.",
)
@click.option(
    "--resize",
    type=RESIZE,
    default="square",
    show_default=True,
    help="How an image becomes square, of the sweep that is planned.",
)
@click.option(
    "--bits",
    type=BITS,
    metavar="N",
    help=("Of images with 16 bits a pixel. [default: as many as hold a category's largest value]"),
)
@click.option(
    "--reserve",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Anomalous images that the sweep takes out of the test set to draw shots from.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="As one JSON object with every file, for programs."
)
@click.option(
    "--groups",
    type=FOLDER,
    metavar="DIR",
    help=(
        "Write DIR/CATEGORY.csv, a groups.csv of the photos that look alike, if any do. [default:"
        " only counted]"
    ),
)
def check(
    root: Path,
    image_size: int,
    resize: str,
    bits: int | None,
    reserve: int,
    as_json: bool,
    groups: Path | None,
) -> int:
    """A health report of the dataset in DIR: every unreadable file, stray mask, leak and lookalike
    at once. Ends with the sweep that fits the defect photos that are there.

    Exit code 0: fit for a sweep (warnings may stand). 2: not fit as it is.
    """
    from apc_bench.datasets.check.format import as_lines, as_object, failed, groups_csv
    from apc_bench.datasets.check.health import examine
    from apc_bench.datasets.geometry import Geometry

    if groups is not None and groups.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"--groups {groups} is inside the dataset; look the groups through before they go there"
        )
    geometry = Geometry(image_size, cast("Resize", resize))
    categories, whole = examine(root, geometry, reserve, bits, _bar)
    fit = not failed(categories, whole)
    if as_json:
        click.echo(json.dumps(as_object(categories, whole), indent=2))
    else:
        click.echo("\n".join([*as_lines(categories, whole), *(_next(root) if fit else ())]))
    if groups is not None:
        try:
            groups.mkdir(parents=True, exist_ok=True)
            for health in categories:
                # A table of no groups is refused where it is read.
                if health.groups:
                    (groups / f"{health.name}.csv").write_text(groups_csv(health), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"cannot write {groups}: {error.strerror or error}") from None
    return 0 if fit else 2


def _next(root: Path) -> Iterator[str]:
    """The command that fits the photos that are there."""
    from apc_bench.datasets.fitting import fitting
    from apc_bench.datasets.layouts import read_dataset

    options = fitting(read_dataset(root).categories)
    if options is None:
        yield "next: photograph more defects: one to learn from and one to test are the least"
    else:
        yield f"next: apc-bench sweep --data {shlex.quote(str(root))}{options}"


def _bar(looks: Looks, number: int, name: str) -> Looks:
    """The looks at a category's files, with a bar in a terminal."""
    if not sys.stderr.isatty():
        yield from looks
        return
    with click.progressbar(looks, length=number, label=name, file=sys.stderr) as watched:
        yield from watched
