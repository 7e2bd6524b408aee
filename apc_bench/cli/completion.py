"""What the shell completes beyond commands, options and folders (docs/commands.md says how it is
switched on).
"""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_or_files(names: Iterable[str]) -> Complete:
    """Completes one of the names; where none begins so, a file."""

    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        fitting = [CompletionItem(name) for name in names if name.startswith(begun)]
        return fitting or [CompletionItem(begun, type="file")]

    return complete


def known_datasets(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Completes the name of a dataset that `data fetch` knows."""
    from apc_bench.datasets.catalog import CATALOG

    return [CompletionItem(name) for name in CATALOG if name.startswith(begun)]
