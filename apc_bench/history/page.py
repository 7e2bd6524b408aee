"""The trend page of a folder of nights: one HTML file that needs nothing else, and the same in a
few lines of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apc_bench.errors import RunError
from apc_bench.history.charts import HEIGHT, LEFT, TOP, WIDTH, Chart, chart, title_of, value_text
from apc_bench.history.series import Series, between, history_of
from apc_bench.metrics.catalogue import CATALOGUE, COSTS, METRICS
from apc_bench.results.folders import reports_folder
from apc_bench.results.recorded_runs import RecordedRun, read_recorded_runs
from apc_bench.store.files import write_atomically
from apc_bench.wording import counted, printable


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level, in words. `nights`: the last of the old level and the first of the new
    one; `why`: what differs between them.
    """

    system: str
    figure: str
    place: str
    before: str
    after: str
    nights: str
    day: str
    why: tuple[str, ...]
    worse: bool
    night: int


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A folder of nights: their series, the changes from the newest to the oldest, and `problems`:
    what could not be read, or only in part.
    """

    folder: Path
    nights: tuple[RecordedRun, ...]
    series: tuple[Series, ...]
    changes: tuple[Change, ...]
    problems: tuple[str, ...]


def read_history(folder: Path) -> History:
    """Reads every run in a folder. Raises UsageError without the folder, RunError where no run in
    it can be read.
    """
    nights, problems = read_recorded_runs(folder)
    if not nights:
        raise RunError(
            f"{folder} holds no run that can be read"
            + "".join(f"; {line}" for line in problems[:3])
        )
    problems += [
        f"{night.name}: planned trials without a result: {night.missing}"
        for night in nights
        if night.missing
    ]
    series = history_of(nights)
    changes = sorted(
        (change for one in series for change in _changes(one, nights)),
        key=lambda change: -change.night,
    )
    return History(folder, tuple(nights), tuple(series), tuple(changes), tuple(problems))


def _changes(series: Series, nights: Sequence[RecordedRun]) -> list[Change]:
    found = []
    for step in series.steps:
        last = max(
            index for index in range(step.night) if series.values[index] == series.values[index]
        )
        before, after = nights[last], nights[step.night]
        found.append(
            Change(
                series.system,
                title_of(series.column),
                series.category or "mean over categories",
                value_text(series.column, step.before),
                value_text(series.column, step.after),
                f"{before.name} → {after.name}",
                after.created[:10],
                between(before, after),
                CATALOGUE[series.column].is_worse(step.change),
                step.night,
            )
        )
    return found


def write_page(history: History, out: Path) -> Path:
    """Writes the page; the same nights give the same bytes. Raises StorageError."""
    environment = Environment(
        loader=FileSystemLoader(reports_folder() / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    colours = {
        name: index
        for index, name in enumerate(dict.fromkeys(one.system for one in history.series))
    }
    text = environment.get_template("history.html.j2").render(
        history=history,
        summary=summary(history),
        systems=[(name, index % 6, index >= 6) for name, index in colours.items()],
        metrics=_panels(history, METRICS, colours),
        costs=_panels(history, COSTS, colours),
        categories=_of_categories(history, colours),
        nights=_nights(history.nights),
        size=(WIDTH, HEIGHT, LEFT, TOP),
    )
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8", errors="replace"))
    return out


def _panels(history: History, columns: Sequence[str], colours: dict[str, int]) -> list[Chart]:
    series = {
        column: [one for one in history.series if one.column == column and one.category is None]
        for column in columns
    }
    return [chart(found, history.nights, colours) for found in series.values() if found]


def _of_categories(history: History, colours: dict[str, int]) -> list[Chart]:
    """A panel for each category's metric with a change of its own."""
    changed = dict.fromkeys(
        (one.column, one.category) for one in history.series if one.category and one.steps
    )
    return [
        chart(
            [one for one in history.series if (one.column, one.category) == key],
            history.nights,
            colours,
            f"{key[1]}: {title_of(key[0])}",
        )
        for key in changed
    ]


def _nights(nights: Sequence[RecordedRun]) -> list[tuple[RecordedRun, tuple[str, ...]]]:
    """The newest first, each with what differs from the night before."""
    earlier = [None, *nights[:-1]]
    return [
        (night, between(before, night) if before else ())
        for night, before in zip(nights, earlier, strict=True)
    ][::-1]


def summary(history: History) -> str:
    """The folder in a sentence."""
    nights, changes = history.nights, history.changes
    span = (
        nights[0].created[:10]
        if len(nights) == 1
        else f"{nights[0].created[:10]} to {nights[-1].created[:10]}"
    )
    worse = sum(change.worse for change in changes)
    found = (
        f"{len(changes)} changes of level, {worse} of them for the worse"
        if changes
        else "no change of level"
    )
    return f"{counted(len(nights), 'night')}, {span}: {found}."


def as_lines(history: History, shown: int = 20) -> list[str]:
    """The summary, the newest changes with what differs between their nights, and every problem."""
    lines = [summary(history)]
    for change in history.changes[:shown]:
        why = "; ".join(change.why) or "nothing that is recorded differs"
        mark = "WORSE " if change.worse else "better"
        lines.append(
            f"{change.day} {mark} {change.system} · {change.figure} · {change.place}:"
            f" {change.before} → {change.after} ({why})"
        )
    lines += (
        [f"… and {len(history.changes) - shown} more changes, on the page"]
        if len(history.changes) > shown
        else []
    )
    lines += [f"not whole: {line}" for line in history.problems]
    return printable(lines)
