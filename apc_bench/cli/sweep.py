"""`sweep`: fine-tunes, scores and reports, on this machine or a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apc_bench.cli.dry_run import tell, threshold_lines
from apc_bench.cli.report import show, show_table
from apc_bench.cli.sweep_options import EXAMPLES, SweepCommand, sweep_options
from apc_bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from apc_bench.runner.driver import Summary
    from apc_bench.runner.executors.protocol import Execution
    from apc_bench.runner.prepare import Prepared
    from apc_bench.settings.sweep import Sweep
    from apc_bench.store.cache import Cache
    from apc_bench.store.run import Run


@click.command(cls=SweepCommand, examples=EXAMPLES)
@sweep_options
def sweep(
    job: str | None,
    like: Path | None,
    data: Path | None,
    run_path: Path | None,
    cache_path: Path | None,
    no_page: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Compare systems: fine-tune and score category × method × shots × seed, and report.

    Without --data and --job it runs the quickstart on synthetic images; with --data alone, the
    paper's methods on that folder, which takes more than ten defect photos of a part; with fewer,
    add --protocol crossfit. Running the same command again resumes: what is done is not done
    again.
    """
    from rich.console import Console

    from apc_bench.runner.driver import default_run
    from apc_bench.runner.prepare import prepare
    from apc_bench.runner.progress import plain
    from apc_bench.runner.start import check_gpu, check_lasting, make_room
    from apc_bench.store.cache import Cache, default_folder
    from apc_bench.store.cache_use import in_use

    console = Console(stderr=True)
    say = plain(console)
    execution = _execution(options)
    repeated = _repeated(like, job)
    data = data or _data_of(repeated)
    settings, lines = _settings(job, data, repeated, options)
    check_gpu(settings, execution)
    cache = Cache(cache_path or default_folder())
    for line in [*lines, *(() if dry_run else make_room(cache.folder))]:
        say(line)
    with in_use(cache.folder):
        prepared = prepare(settings, data, cache, say=say, dry=dry_run)
        path = run_path or default_run(prepared.sweep, prepared.dataset.name)
        check_lasting(path)
        for line in _differences(repeated, prepared, path) if repeated else ():
            say(line)
        if dry_run:
            tell(prepared, path, execution)
            return 0
        return _swept(prepared, path, cache, execution, console, with_page=not no_page)


def _swept(
    prepared: Prepared,
    path: Path,
    cache: Cache,
    execution: Execution,
    console: Console,
    *,
    with_page: bool,
) -> int:
    """Does the sweep and shows what it found; the exit code."""
    from apc_bench.report import current_page
    from apc_bench.runner.progress import plain
    from apc_bench.runner.start import swept
    from apc_bench.store.run import Run

    summary = swept(prepared, path, cache, execution, console)
    run = Run.open(path)
    if with_page:
        data, unchanged = prepared.dataset.root, not (summary.done or summary.failed)
        page = show(run, data, page=current_page(run, data) if unchanged else None)
        click.echo(f"page: {page.resolve()}")
    else:
        show_table(run)
        click.echo(f"the page is left to `{shlex.join(['apc-bench', 'report', str(path)])}`")
    plain(console)("\n".join([*threshold_lines(prepared), _ending(summary, path)]))
    return summary.exit_code


def _execution(options: dict[str, Any]) -> Execution:
    """How to run: takes its fields out of the options, and leaves the settings there. Raises
    UsageError for what the executor cannot do.
    """
    from dataclasses import fields

    from apc_bench.runner.executors.protocol import Execution
    from apc_bench.runner.start import checked

    return checked(
        Execution(**{field.name: options.pop(field.name) for field in fields(Execution)})
    )


def _ending(summary: Summary, path: Path) -> str:
    from apc_bench.wording import counted

    ended = f"{counted(summary.done, 'step')} done"
    if summary.failed:
        return (
            f"{ended}, {len(summary.failed)} FAILED; `apc-bench status {path}` lists them, and the"
            " same command tries them again"
        )
    return f"{ended}, {summary.before} were done before" if summary.before else ended


def _repeated(like: Path | None, job: str | None) -> Run | None:
    """The run that is repeated. Raises UsageError where a job is named too, RunError for no run."""
    from apc_bench.store.run import Run

    if like is None:
        return None
    if job is not None:
        raise UsageError("--like RUN repeats that run's own job; leave --job out")
    return Run.open(like)


def _data_of(run: Run | None) -> Path | None:
    """What --data was for a run: the folder of its dataset, or the plain one in it that is its only
    category; None where the dataset was a synthetic one, and for no run.
    """
    from apc_bench.datasets.places import is_plain_category

    if run is None:
        return None
    info = run.info_with("settings", "data")
    if info.settings.get("synthetic") or info.data is None:
        return None
    folders = [info.data / category for category in info.fingerprints]
    return folders[0] if len(folders) == 1 and is_plain_category(folders[0]) else info.data


def _differences(repeated: Run, prepared: Prepared, path: Path) -> list[str]:
    """What is not as it was when the repeated run was made. Raises UsageError where its own folder
    would be the place of its repetition.
    """
    from apc_bench.runner.driver import info_of

    if path.resolve() == repeated.path.resolve():
        raise UsageError(
            f"{path} is the run that --like repeats, and holds its results already; name another"
            " folder with --run"
        )
    info = repeated.info_with("computing", "fingerprints", "weights")
    diff = info.diff(info_of(prepared))
    changed = [
        f"{name} was {old!r}, is {now!r}"
        for name, (old, now) in diff.computing.items()
        if name in info.computing
    ]
    changed += [f"the content of category '{name}' changed" for name in diff.fingerprints]
    changed += [f"the weights of '{name}' changed" for name in diff.weights]
    return [f"not as in {repeated.path}, so numbers may differ: {line}" for line in changed] or [
        f"all that decides numbers is as in {repeated.path}"
    ]


def _settings(
    job: str | None, data: Path | None, repeated: Run | None, flags: Mapping[str, Any]
) -> tuple[Sweep, list[str]]:
    """The repeated run's, or else as `chosen_settings`; and lines to show."""
    from apc_bench.runner.start import chosen_settings
    from apc_bench.settings.job import override
    from apc_bench.settings.sweep import make_sweep

    if repeated is None:
        return chosen_settings(job, data, flags)
    settings = override(repeated.info_with("settings").settings, flags)
    return make_sweep(settings, source=f"settings of {repeated.path}"), []
