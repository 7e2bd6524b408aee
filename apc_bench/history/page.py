"""The trend page of a folder of nights: one HTML file that needs nothing else, and the same in a
few lines of text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apc_bench.errors import RunError
from apc_bench.history.charts import COLOURS, HEIGHT, LEFT, TOP, WIDTH, Chart, chart
from apc_bench.history.series import Series, between, history_of, title_of
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

    @property
    def systems(self) -> tuple[str, ...]:
        """Their names, in the order of the series."""
        return tuple(dict.fromkeys(series.system for series in self.series))


def read_history(folder: Path) -> History:
    """Reads every run in a folder. Raises UsageError without the folder, RunError where no run in
    it can be read.
    """
    nights, problems = read_recorded_runs(folder)
    if not nights:
        raise RunError("; ".join([f"{folder} holds no run that can be read", *problems[:3]]))
    for night in nights:
        if night.missing:
            problems.append(f"{night.name}: planned trials without a result: {night.missing}")
    series = history_of(nights)
    changes = [change for one in series for change in _changes(one, nights)]
    changes.sort(key=lambda change: -change.night)
    return History(folder, tuple(nights), tuple(series), tuple(changes), tuple(problems))


def _changes(series: Series, nights: Sequence[RecordedRun]) -> Iterator[Change]:
    for step in series.changes:
        last = int(np.flatnonzero(np.isfinite(series.values[: step.night]))[-1])
        before, after = nights[last], nights[step.night]
        yield Change(
            system=series.system,
            figure=title_of(series.column),
            place=series.category or "mean over categories",
            before=series.text(step.before),
            after=series.text(step.after),
            nights=f"{before.name} → {after.name}",
            day=after.created[:10],
            why=between(before, after),
            worse=CATALOGUE[series.column].is_worse(step.change),
            night=step.night,
        )


def write_page(history: History, out: Path) -> Path:
    """Writes the page; the same nights give the same bytes. Raises StorageError."""
    environment = Environment(
        loader=FileSystemLoader(reports_folder() / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    systems = [
        (name, index % COLOURS, index >= COLOURS) for index, name in enumerate(history.systems)
    ]
    text = environment.get_template("history.html.j2").render(
        history=history,
        summary=summary(history),
        systems=systems,
        metrics=list(_panels(history, METRICS)),
        costs=list(_panels(history, COSTS)),
        categories=list(_panels_of_categories(history)),
        nights=_nights(history.nights),
        size=(WIDTH, HEIGHT, LEFT, TOP),
    )
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8", errors="replace"))
    return out


def _panels(history: History, columns: Sequence[str]) -> Iterator[Chart]:
    """A panel of the mean over categories for each column that any night has."""
    for column in columns:
        panel = _panel(history, column, None, None)
        if panel:
            yield panel


def _panels_of_categories(history: History) -> Iterator[Chart]:
    """A panel for each category's metric with a change of its own."""
    changed = dict.fromkeys(
        (series.column, series.category)
        for series in history.series
        if series.category and series.changes
    )
    for column, category in changed:
        panel = _panel(history, column, category, f"{category}: {title_of(column)}")
        if panel:
            yield panel


def _panel(history: History, column: str, category: str | None, title: str | None) -> Chart | None:
    wanted = (column, category)
    series = [one for one in history.series if (one.column, one.category) == wanted]
    colours = {name: index for index, name in enumerate(history.systems)}
    return chart(series, history.nights, colours, title) if series else None


def _nights(nights: Sequence[RecordedRun]) -> list[tuple[RecordedRun, tuple[str, ...]]]:
    """The newest first, each with what differs from the night before."""
    differences = [(), *(between(before, night) for before, night in pairwise(nights))]
    return list(zip(nights, differences, strict=True))[::-1]


def summary(history: History) -> str:
    """The folder in a sentence."""
    nights, changes = history.nights, history.changes
    span = nights[0].created[:10]
    if len(nights) > 1:
        span += f" to {nights[-1].created[:10]}"
    found = "no change of level"
    if changes:
        worse = sum(change.worse for change in changes)
        found = f"{len(changes)} changes of level, {worse} of them for the worse"
    return f"{counted(len(nights), 'night')}, {span}: {found}."


def as_lines(history: History, shown: int = 20) -> list[str]:
    """The summary, the newest changes with what differs between their nights, and every problem."""
    lines = [summary(history)]
    for change in history.changes[:shown]:
        why = "; ".join(change.why) or "nothing that is recorded differs"
        mark = "WORSE " if change.worse else "better"
        where = f"{change.system} · {change.figure} · {change.place}"
        lines.append(f"{change.day} {mark} {where}: {change.before} → {change.after} ({why})")
    if len(history.changes) > shown:
        lines.append(f"… and {len(history.changes) - shown} more changes, on the page")
    lines += [f"not whole: {line}" for line in history.problems]
    return printable(lines)
