"""The command line: parses, calls, prints. A file per command; heavy imports stay inside the
commands, so that --help answers at once.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from apc_bench.cli.cache import cache
from apc_bench.cli.check import check
from apc_bench.cli.compact import compact
from apc_bench.cli.compare import compare
from apc_bench.cli.data import data
from apc_bench.cli.doctor import doctor
from apc_bench.cli.evaluate import evaluate
from apc_bench.cli.export import export
from apc_bench.cli.gate import gate
from apc_bench.cli.help import FullGroup
from apc_bench.cli.history import history
from apc_bench.cli.methods import methods
from apc_bench.cli.report import report
from apc_bench.cli.status import status
from apc_bench.cli.streams import guard_streams, settled
from apc_bench.cli.submit import submit
from apc_bench.cli.sweep import sweep
from apc_bench.errors import ApcError

INTERRUPTED = 130


def _print_version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from apc_bench.store.provenance import version_line

        click.echo(f"apc-bench {version_line()}")
        ctx.exit()


@click.group(
    cls=FullGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print version and revision.",
)
def cli() -> None:
    """Benchmarks of industrial visual anomaly detection with few anomalous samples: PatchCore,
    AnomalousPatchCore (APC), PRNet, and models of anomalib.

    \b
    apc-bench sweep                                       the quickstart, on synthetic images
    apc-bench data check bracket                          are these photos fit for a sweep?
    apc-bench sweep --data bracket --protocol crossfit    do the defect photos help?
    """


for command in (
    sweep,
    methods,
    status,
    report,
    export,
    compare,
    evaluate,
    gate,
    history,
    compact,
    submit,
    data,
    cache,
    doctor,
):
    cli.add_command(command)
data.add_command(check)


def main() -> NoReturn:
    """Runs the command; a user's error is one line and its exit code, a bug shows its traceback. A
    scheduler's SIGTERM ends like Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    guard_streams()
    _leave(settled(guarded(lambda: cli(standalone_mode=False))))


def _leave(code: int) -> NoReturn:
    """Ends the process: where Ray was at work without destructors, since threads of its own outlive
    them and crash (Ray 2.60: up to one exit in seven).

    So also after an interrupt: one that came within an exec() of source text, as of dataclasses,
    makes CPython die of SIGINT whatever the code.
    """
    if "ray" not in sys.modules and code != INTERRUPTED:
        sys.exit(code)
    os._exit(code)


def guarded(run: Callable[[], int | None]) -> int:
    """The exit code of a command, which `run` gives, None for 0; a user's error is shown as one
    line.
    """
    try:
        return run() or 0
    except ApcError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the one into the other
        click.echo("interrupted; run the same command again to go on", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return 2
