"""Help that is read: options in groups, examples as they are typed, commands described in full."""

from collections.abc import Callable, Iterable
from typing import Any

import click

UNBROKEN = "\u2011"
"""A hyphen that no line is broken at."""


class WholeNames(click.HelpFormatter):
    """Breaks no line within `apc-bench`, a path or an option, which can then be copied."""

    def write_text(self, text: str) -> None:
        """As click has it, but for hyphens."""
        super().write_text(text.replace("-", UNBROKEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], *more: Any, **named: Any) -> None:
        """As click has it, but for hyphens."""
        super().write_dl([(a, b.replace("-", UNBROKEN)) for a, b in rows], *more, **named)

    def getvalue(self) -> str:
        """All that was written."""
        return super().getvalue().replace(UNBROKEN, "-")


class HelpContext(click.Context):
    """In which help is written so."""

    formatter_class = WholeNames


class GroupedOption(click.Option):
    """An option that `--help` shows under a heading, `group`."""

    def __init__(self, *arguments: Any, group: str = "Options", **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has its options under their headings, in the order of the code, and
    `examples` after its text.
    """

    def __init__(self, *arguments: Any, examples: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section a heading; those of no heading are last."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self.examples))
        for heading, options in option_groups(self, ctx).items():
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record])


def option_groups(command: click.Command, ctx: click.Context) -> dict[str, list[click.Option]]:
    """Heading -> a command's options; `Options` of those that have no other, the last."""
    groups: dict[str, list[click.Option]] = {}
    for option in command.get_params(ctx):
        if isinstance(option, click.Option) and not option.hidden:
            heading = option.group if isinstance(option, GroupedOption) else "Options"
            groups.setdefault(heading, []).append(option)
    if "Options" in groups:
        groups["Options"] = groups.pop("Options")
    return groups


def in_group(heading: str) -> Callable[..., Any]:
    """`click.option` for options under a heading."""

    def option(*names: str, **more: Any) -> Any:
        return click.option(*names, cls=GroupedOption, group=heading, **more)

    return option


class FullGroup(click.Group):
    """A group that prints its help where no command is named, with commands in the order of the
    code and their first sentence in full.
    """

    context_class = HelpContext

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **{"invoke_without_command": True, **more})

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """As click has it; its help is written as the group's."""
        cmd.context_class = HelpContext
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first sentence of each, never cut."""
        rows = [
            (name, command.get_short_help_str(10_000)) for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """The command; help where none is named."""
        given = super().invoke(ctx)
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())
        return given
