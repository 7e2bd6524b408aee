"""Options that several commands share, and their types."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apc_bench.errors import UsageError

if TYPE_CHECKING:
    from apc_bench.store.run import Run

COUNT_MAX = 1_000_000

Decorator = Callable[[Any], Any]


class Numbers(click.ParamType[tuple[int, ...]]):
    """`1,5,10`: whole numbers with commas between them."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Fails, as click has it, for anything else."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        for part in parts:
            if not (part.isascii() and part.isdigit() and int(part) <= COUNT_MAX):
                self.fail(
                    f"write whole numbers with commas between them, such as 1,5,10 (got '{part}')",
                    param,
                    ctx,
                )
        return tuple(int(part) for part in parts)


class Names(click.ParamType[tuple[str, ...]]):
    """`a,b`: names with commas between them."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Fails, as click has it, for anything else."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(parts):
            self.fail(f"'{value}' must be names with commas between them", param, ctx)
        return tuple(parts)


class Pairs(click.ParamType[tuple[str, str]]):
    """`apc@10=APC`: a system of one side and one of the other."""

    name = "pair"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Fails, as click has it, for anything else."""
        if isinstance(value, tuple):
            return value
        left, sign, right = (part.strip() for part in str(value).partition("="))
        if not (left and sign and right):
            self.fail(
                f"'{value}' must be two systems with '=' between them, such as apc@10=APC",
                param,
                ctx,
            )
        return left, right


class LocalPath(click.Path):
    """A file or folder of this machine's file systems."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails, as click has it, for an address, of which a path would make a folder `s3:`."""
        if isinstance(value, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
            self.fail(f"'{value}' is an address; name the folder where it is mounted", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = LocalPath(path_type=Path)
BITS = click.IntRange(8, 16)
RESIZE = click.Choice(["square", "letterbox", "crop"])


def cache_option(option: Callable[..., Decorator] = click.option) -> Decorator:
    """`--cache`; `option`: click's, or one that puts it under a heading (help.py)."""
    return option(
        "--cache",
        "cache_path",
        type=FOLDER,
        metavar="DIR",
        help=(
            "Decoded images, features and weights. [default: $APC_BENCH_CACHE or"
            " ~/.cache/apc-bench]"
        ),
    )


def dataset_option(option: Callable[..., Decorator] = click.option) -> Decorator:
    """`--dataset`; `option` as above."""
    return option(
        "--dataset", metavar="NAME", help="What to call the dataset. [default: the folder's name]"
    )


def cache_folder(given: Path | None) -> Path:
    """The cache's folder, absolute: the one that --cache names, or the usual one. Raises
    UsageError where there is none.
    """
    from apc_bench.store.cache import default_folder

    return (given or default_folder()).expanduser().absolute()


CACHE, DATASET = cache_option(), dataset_option()
DATA = click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="The dataset, for the pictures. [default: where the sweep found it]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs.")


def photos_of(run: Run, data: Path | None) -> Path | None:
    """The dataset's folder of a run: the one that --data names, or where the sweep found it. Raises
    UsageError where there is no such folder.
    """
    from apc_bench.datasets.places import root_of

    if data is None:
        return run.info.data
    if not data.is_dir():
        raise UsageError(
            f"no such folder: {data} (--data takes the dataset that the run was swept over)"
        )
    return root_of(data.resolve())
