"""About how long a sweep will take on this machine, by system, for a terminal (rich)."""

from rich.table import Table as TerminalTable

from apc_bench.runner.estimate import Estimate, SystemTime
from apc_bench.tables.table import Cell, Column, Row, Table
from apc_bench.tables.terminal import terminal
from apc_bench.wording import duration

TITLES = ("System", "Fine-tunings", "each", "Trials", "each ", "In all")
NONE = "–"


def hours_table(estimate: Estimate) -> TerminalTable:
    """A row a system, then start, decoding and report, then the sum."""
    columns = tuple(
        Column(title, (title,), numeric=place > 0) for place, title in enumerate(TITLES)
    )
    rows = [_row(system, estimate.at_once) for system in estimate.systems]
    rows.append(_line("start, decoding, report", estimate.beside))
    rows.append(_line("this machine", estimate.seconds))
    table = Table("hours", "About how long it takes", columns, tuple(rows), ())
    caption = "Measured just now, as if nothing else ran here"
    if estimate.at_once > 1:
        caption += f"; {estimate.at_once:g} steps at a time"
    return terminal(table, columns=TITLES, block="", caption=caption)


def _row(system: SystemTime, at_once: float) -> Row:
    in_all = None if system.seconds is None else system.seconds / at_once
    return Row(
        (
            Cell(system.title, (system.title,)),
            _number(system.tunings),
            _time(system.tuning),
            _number(system.trials),
            _time(system.trial),
            _time(in_all),
        )
    )


def _line(name: str, seconds: float) -> Row:
    empty = Cell("", (None,))
    return Row((Cell(name, (name,)), empty, empty, empty, empty, _time(seconds)))


def _number(count: int) -> Cell:
    return Cell(str(count) if count else NONE, (count,))


def _time(seconds: float | None) -> Cell:
    """Two digits or so: `8.3 s`, `40 s`, `2.4 min`, `35 min`, `3.5 h`."""
    if seconds is None:
        return Cell(NONE, (None,))
    text = duration(seconds)
    if seconds < 10:
        text = f"{seconds:.1f} s"
    elif 90 <= seconds < 600:
        text = f"{seconds / 60:.1f} min"
    return Cell(text, (seconds,))
