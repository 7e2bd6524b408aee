"""Writes the parts of docs/ that are made of the code: every command with its options, and every
column of a run folder. `--check` changes nothing and ends with 1 where a page is stale.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa

from apc_bench.cli import cli
from apc_bench.cli.help import GroupedCommand, option_groups
from apc_bench.store import schemas

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- made by `make reference` -->\n", "<!-- end -->\n"


def commands() -> Iterator[str]:
    """Every command: what it does, how it is called, and its options with their defaults."""
    for path, command in _leaves(cli, ("apc-bench",)):
        context = click.Context(command, info_name=" ".join(path))
        yield f"## {' '.join(path)}\n\n"
        yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n\n"
        yield f"{_paragraphs(command.help or '')}\n\n"
        if isinstance(command, GroupedCommand) and command.examples:
            lines = "\n".join(command.examples)
            yield f"```\n{lines}\n```\n\n"
        yield from _option_tables(command, context)


def _option_tables(command: click.Command, context: click.Context) -> Iterator[str]:
    """A table of options for each heading of the help, but for --help itself."""
    for heading, options in option_groups(command, context).items():
        own = [option for option in options if option is not command.get_help_option(context)]
        rows = [_option_row(option, context) for option in own]
        if rows:
            title = "option" if heading == "Options" else heading
            yield f"| {title} | what it does |\n|:--|:--|\n{''.join(rows)}\n"


def _leaves(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _paragraphs(text: str) -> str:
    return inspect.cleandoc(text).replace("\b\n", "")


def _option_row(option: click.Option, context: click.Context) -> str:
    written, what = option.get_help_record(context) or ("", "")
    return f"| `{_cell(written)}` | {_cell(what)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def columns() -> Iterator[str]:
    """Every table of a run folder: its columns, their types, and what they mean."""
    for table in schemas.TABLES:
        yield f"### {table.name}\n\n{table.title}\n\n"
        yield "| column | type | meaning |\n|:--|:--|:--|\n"
        for column in (*table.place, *table.columns):
            yield f"| `{column.name}` | {_type(column.type)} | {_cell(column.meaning)} |\n"
        yield "\n"


def _type(kind: pa.DataType) -> str:
    return _cell(str(kind))


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with a made part, and its text as it should be."""
    for name, made in (("commands.md", commands()), ("run-folder.md", columns())):
        page = DOCS / name
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        yield page, before + BEGIN + "\n" + "".join(made).rstrip() + "\n\n" + END + after


def main() -> int:
    """Writes the pages, or only tells which are stale."""
    stale = [(page, text) for page, text in pages() if page.read_text(encoding="utf-8") != text]
    for page, text in stale:
        print(f"stale: docs/{page.name}" if "--check" in sys.argv else f"written: docs/{page.name}")
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
