"""`cache`: what lies in the cache folder, and how it is emptied or held to a limit."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apc_bench.cli.help import GroupedCommand
from apc_bench.cli.options import CACHE, JSON, cache_folder
from apc_bench.errors import UsageError

if TYPE_CHECKING:
    from apc_bench.store.cache_upkeep import Kept, Removed

ALL = "all"
USUAL = ("features", "decoded", "encodings", "hashes")
"""What --clear empties where no kind is named: what the next sweep makes again unasked."""
NAMED = (*USUAL, "synthetic")


class Size(click.ParamType[str]):
    """`10GB`: a size with its unit; `none`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Fails, as click has it, for anything else."""
        from apc_bench.store.cache_upkeep import parse_size

        try:
            parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


EXAMPLES = (
    "apc-bench cache                     # what lies there",
    "apc-bench cache --limit 10GB        # the longest unused goes",
    "apc-bench cache --clear features    # all features that no sweep uses now",
)


@click.command(cls=GroupedCommand, examples=EXAMPLES)
@click.option(
    "--clear",
    type=click.Choice([ALL, *NAMED]),
    is_flag=False,
    flag_value=ALL,
    metavar="[KIND]",
    help=(
        f"Empty it: one kind of {', '.join(NAMED)}; without KIND all of these but synthetic."
        " [default: nothing]"
    ),
)
@click.option(
    "--limit",
    type=Size(),
    metavar="SIZE",
    help=(
        "Remove images and features, the longest unused first, until they take no more than SIZE,"
        " such as 10GB. [default: nothing; a sweep does so at its start with"
        " $APC_BENCH_CACHE_LIMIT, or 20GB]"
    ),
)
@CACHE
@JSON
def cache(clear: str | None, limit: str | None, cache_path: Path | None, as_json: bool) -> None:
    """What lies in the cache folder, by kind, with sizes and ages; emptied or held to a limit.

    What a running sweep uses stays. Downloads (weights, datasets) are shown and never removed.
    Removing the rest changes no number: the next sweep makes it again.
    """
    from apc_bench.store.cache_upkeep import clear as clear_kinds
    from apc_bench.store.cache_upkeep import contents, keep_limit, parse_size

    folder = cache_folder(cache_path)
    if clear and limit:
        raise UsageError("--clear and --limit are two ways to make room: name one of them")
    removed = None
    if clear:
        removed = clear_kinds(folder, USUAL if clear == ALL else (clear,))
    elif limit:
        removed = keep_limit(folder, parse_size(limit))
    kept = contents(folder)
    if as_json:
        click.echo(json.dumps(_as_object(folder, kept, removed), indent=2))
        return
    if removed:
        click.echo(removed.line())
    click.echo("\n".join(_as_lines(folder, kept)))


def _as_lines(folder: Path, kept: list[Kept]) -> list[str]:
    from apc_bench.store.cache_upkeep import DOWNLOADS, KINDS, LIMIT, default_limit
    from apc_bench.wording import aligned, in_bytes

    rows = [("kind", "what it is", "entries", "size", "last used")]
    for kind, what in (KINDS | DOWNLOADS).items():
        of_kind = [one for one in kept if one.kind == kind]
        if of_kind:
            size = in_bytes(sum(one.size for one in of_kind))
            rows.append((kind, what, str(len(of_kind)), size, _ages(of_kind)))
    limit = default_limit()
    until = f"sweeps keep images and features to {in_bytes(limit)}" if limit else "no limit"
    total = in_bytes(sum(one.size for one in kept))
    table = aligned(rows, (False, False, True, True, False)) if kept else []
    return [f"{folder}: {total}; {until} ({LIMIT})", *table]


def _ages(kept: list[Kept]) -> str:
    """`5 min ago`, or `2 h to 3 days ago`: of the one used last to the longest unused."""
    now = time.time()
    newest, oldest = (_age(now - pick(one.used for one in kept) / 1e9) for pick in (max, min))
    return f"{newest} ago" if newest == oldest else f"{newest} to {oldest} ago"


def _age(seconds: float) -> str:
    from apc_bench.wording import duration

    return f"{seconds / 86400:.0f} days" if seconds >= 2 * 86400 else duration(max(0.0, seconds))


def _as_object(folder: Path, kept: list[Kept], removed: Removed | None) -> dict[str, Any]:
    """Sizes in bytes, times in seconds since 1970."""
    from apc_bench.store.cache_upkeep import default_limit

    entries = [
        {"kind": one.kind, "path": str(one.path), "size": one.size, "used": one.used / 1e9}
        for one in kept
    ]
    told = {"folder": str(folder), "limit": default_limit(), "entries": entries}
    return told if removed is None else {**told, "removed": asdict(removed)}
