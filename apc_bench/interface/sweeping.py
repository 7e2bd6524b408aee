"""A sweep as a function."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from apc_bench.errors import UsageError
from apc_bench.interface.opened import OpenedRun, Place, open_run
from apc_bench.report import current_page, write_report
from apc_bench.runner.driver import Summary, default_run
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import prepare
from apc_bench.runner.progress import plain
from apc_bench.runner.start import (
    check_gpu,
    check_lasting,
    checked,
    chosen_settings,
    make_room,
    swept,
)
from apc_bench.settings.job import load_job
from apc_bench.store.cache import Cache, default_folder
from apc_bench.store.cache_use import in_use
from apc_bench.store.run import Run


def job(name: Place) -> dict[str, Any]:
    """The settings of a shipped job by its name, or of a job file, to be changed and swept. Raises
    UsageError.
    """
    return load_job(os.fspath(name))


def sweep(
    settings: Mapping[str, Any] | Place | None = None,
    *,
    data: Place | None = None,
    run: Place | None = None,
    cache: Place | None = None,
    execution: Execution | None = None,
    page: bool = True,
    quiet: bool = False,
) -> OpenedRun:
    """Does what `apc-bench sweep` does, and returns the run; called again it resumes.

    `settings`: a job's settings, as a job file holds them (`apc_bench.job` gives a shipped one's),
    or a job's name or file. `data`, `run`, `cache`: folders, by default those of the command; with
    `data` alone it is the paper's methods, with nothing the quickstart. `execution`: how and where;
    none of it changes a number. `page`: False leaves the page to `apc-bench report`. `quiet`:
    nothing on stderr.

    Raises what the command ends with (apc_bench.errors); steps that failed are in the run's
    `failures`, and their trials are missing from its tables.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("a sweep listens to signals, so it must be called in the main thread")
    console = Console(stderr=True, quiet=quiet, force_jupyter=False)
    say = plain(console)
    how = checked(execution or Execution())
    source = None if data is None else Path(data)
    named = settings if settings is None or isinstance(settings, Mapping) else os.fspath(settings)
    chosen, lines = chosen_settings(named, source, {})
    check_gpu(chosen, how)
    folder = Cache(Path(cache) if cache is not None else default_folder())
    for line in [*lines, *make_room(folder.folder)]:
        say(line)
    with in_use(folder.folder):
        prepared = prepare(chosen, source, folder, say=say)
        path = Path(run) if run is not None else default_run(prepared.sweep, prepared.dataset.name)
        check_lasting(path)
        summary = swept(prepared, path, folder, how, console)
        if page:
            say(f"page: {_page(path, prepared.dataset.root, summary)}")
        return open_run(path)


def _page(path: Path, data: Path, summary: Summary) -> Path:
    """The page of the run: the one that is there, where nothing was left to do."""
    run = Run.open(path)
    there = None if summary.done or summary.failed else current_page(run, data)
    return there or write_report(run, data=data)
