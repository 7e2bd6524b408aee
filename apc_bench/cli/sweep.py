"""`sweep`: fine-tunes, scores and reports, on this machine or a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apc_bench.cli.dry_run import tell, threshold_lines
from apc_bench.cli.report import show
from apc_bench.cli.sweep_options import EXAMPLES, SweepCommand, sweep_options
from apc_bench.errors import ResourceError, StorageError, UsageError
from apc_bench.runner.executors import EXECUTORS

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
    dry_run: bool,
    **options: Any,
) -> int:
    """Fine-tune and score category × method × shots × seed, and report.

    Without --data and --job it runs the quickstart on synthetic images; with --data alone, the
    paper's methods on that folder. Running the same command again resumes: what is done is not done
    again.
    """
    from rich.console import Console

    from apc_bench.runner.driver import default_run
    from apc_bench.runner.prepare import prepare
    from apc_bench.runner.progress import plain
    from apc_bench.store.cache import Cache, default_folder
    from apc_bench.store.cache_use import in_use

    console = Console(stderr=True)
    say = plain(console)
    execution = _execution(options)
    repeated = _repeated(like, job)
    data = data or _data_of(repeated)
    settings, lines = _settings(job, data, repeated, options)
    _check_gpu(settings, execution)
    cache = Cache(cache_path or default_folder())
    for line in [*lines, *(() if dry_run else _room_made(cache.folder))]:
        say(line)
    with in_use(cache.folder):
        prepared = prepare(settings, data, cache, say=say, dry=dry_run)
        path = run_path or default_run(prepared.sweep, prepared.dataset.name)
        _check_lasting(path)
        for line in _differences(repeated, prepared, path) if repeated else ():
            say(line)
        if dry_run:
            tell(prepared, path, execution)
            return 0
        return _swept(prepared, path, cache, execution, console)


def _swept(
    prepared: Prepared, path: Path, cache: Cache, execution: Execution, console: Console
) -> int:
    """Does the sweep and shows its page; the exit code."""
    from apc_bench.runner.driver import run_sweep
    from apc_bench.runner.progress import plain
    from apc_bench.store.run import Run

    say = plain(console)
    say(f"run folder: {path}")
    summary = run_sweep(prepared, path, cache, execution, console)
    for step, reason in summary.failed:
        say(f"failed: {step.name}: {reason}")
    data = prepared.dataset.root
    page = show(Run.open(path), data, page=_page_of(summary, path, data))
    click.echo(f"page: {page.resolve()}")
    say("\n".join([*threshold_lines(prepared), _ending(summary, path)]))
    return summary.exit_code


def _room_made(folder: Path) -> list[str]:
    """Holds the cache to its limit: what was removed, in a line."""
    from apc_bench.store.cache_upkeep import LIMIT, default_limit, keep_limit
    from apc_bench.wording import in_bytes

    limit = default_limit()
    try:
        removed = keep_limit(folder, limit)
    except StorageError:  # who may only read a cache makes no room in it, and needs none
        return []
    if not (removed.count and limit):
        return []
    return [
        f"cache: {removed.line()}: the longest unused, to keep to {in_bytes(limit)} (set {LIMIT} to"
        " another size, or to none)"
    ]


def _execution(options: dict[str, Any]) -> Execution:
    """How to run: takes its fields out of the options, and leaves the settings there. Raises
    UsageError for what the executor cannot do.
    """
    from dataclasses import fields

    from apc_bench.runner.executors.protocol import Execution

    chosen = {field.name: options.pop(field.name) for field in fields(Execution)}
    if chosen["address"] == "local":
        chosen["address"] = None
    execution = Execution(**chosen)
    if execution.scale_up and not (execution.address and execution.workers):
        raise UsageError(
            "--scale-up needs --address and --workers: on what cluster, and for how many steps at a"
            " time"
        )
    EXECUTORS[execution.executor]().check(execution)
    return execution


def _check_gpu(settings: Sweep, execution: Execution) -> None:
    """Raises ResourceError where every step would look for a GPU that this machine lacks; a cluster
    is asked once Ray is connected to it.
    """
    from apc_bench.store.provenance import gpu_names

    if settings.device != "cuda" or execution.address is not None or gpu_names():
        return
    import torch  # where the driver's own tool is missing, it alone knows

    if not torch.cuda.is_available():
        raise ResourceError(
            "--device cuda: this machine has no GPU that torch can use; leave --device out for the"
            " processor, or name a cluster that has GPUs with --address"
        )


def _check_lasting(path: Path) -> None:
    """A Ray job works in a copy of the working folder that is deleted with Ray's session, and so
    would be a run folder in it.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"--run {path} would lie in the job's own copy of the folder and vanish with it; give"
            " an absolute path on shared storage"
        )


def _page_of(summary: Summary, path: Path, data: Path) -> Path | None:
    """The page of a run in which nothing was left to do, where it is as a new one would be."""
    from apc_bench.report import page_since
    from apc_bench.store import attempts
    from apc_bench.store.run import Run

    if summary.done or summary.failed:
        return None
    run = Run(path)
    moment = max(attempts.last_written(run.attempts_folder), run.planned.last_written())
    return page_since(path, data, moment)


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
    """The folder of a run's dataset; None where that was a synthetic one, and for no run."""
    if run is None:
        return None
    info = run.info_with("settings", "data")
    return None if info.settings.get("synthetic") else info.data


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
    """The repeated run's; else the job named; else the paper's methods on the folder given, resized
    to a square unless it is MVTec AD; else the quickstart. And lines to show.
    """
    from apc_bench.datasets.catalog import is_mvtec_ad
    from apc_bench.datasets.layouts import read_dataset
    from apc_bench.settings.job import override, sweep_from
    from apc_bench.settings.sweep import make_sweep

    if repeated is not None:
        settings = override(repeated.info_with("settings").settings, flags)
        return make_sweep(settings, source=f"settings of {repeated.path}"), []
    if job or data is None:
        return sweep_from(job or "quickstart", flags)
    dataset = read_dataset(data, categories=flags["categories"])
    names = tuple(category.name for category in dataset.categories)
    flags = {**flags, "categories": flags["categories"] or names, "job": "sweep"}
    if flags["resize"] is None and not is_mvtec_ad(dataset):
        flags["resize"] = "square"
    return sweep_from("photos" if flags["protocol"] == "crossfit" else "paper", flags)
