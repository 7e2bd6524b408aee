"""The `sweep` command behind its flags: from an invocation to lines on the screen and an exit
code.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from apc_bench.datasets.catalog import is_mvtec_ad
from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import UsageError
from apc_bench.runner.driver import default_run, run_sweep
from apc_bench.runner.estimate import about
from apc_bench.runner.executors import EXECUTORS
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import Prepared, prepare
from apc_bench.runner.progress import counted_steps
from apc_bench.settings.job import sweep_from
from apc_bench.settings.sweep import Sweep, make_sweep
from apc_bench.store.cache import Cache, default_folder
from apc_bench.store.run import Run


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line said. `like`: a run folder to repeat. `execution`: fields of Execution;
    `flags`: settings that override the job's, None where not given.
    """

    job: str | None
    like: Path | None
    data: Path | None
    run: Path | None
    cache: Path | None
    dry_run: bool
    execution: Mapping[str, Any]
    flags: Mapping[str, Any]


def invoke(given: Invocation) -> int:
    """Runs the sweep (or tells what it would do) and reports. Returns the exit code."""
    log, out = Console(stderr=True), Console()
    execution = _execution(given.execution)
    given, repeated = _repeating(given)
    sweep, lines = _settings(given, repeated)
    for line in lines:
        log.print(escape(line), soft_wrap=True)
    cache = Cache(given.cache or default_folder())
    prepared = prepare(
        sweep,
        given.data,
        cache,
        say=lambda line: log.print(escape(line), highlight=False, soft_wrap=True),
        dry=given.dry_run,
    )
    path = given.run or default_run(prepared.sweep, prepared.dataset.name)
    _check_lasting(path)
    for line in _differences(repeated, prepared, path) if repeated else ():
        log.print(escape(line), highlight=False, soft_wrap=True)
    if given.dry_run:
        _tell(prepared, path, execution, out)
        return 0
    log.print(escape(f"run folder: {path}"), highlight=False, soft_wrap=True)
    summary = run_sweep(prepared, path, cache, execution, log)
    for step, reason in summary.failed:
        log.print(escape(f"failed: {step.name}: {reason}"), highlight=False, soft_wrap=True)
    _report(Run.open(path), prepared, out)
    log.print(
        escape(_ending(summary.before, summary.done, len(summary.failed), path)),
        highlight=False,
        soft_wrap=True,
    )
    return summary.exit_code


def _execution(fields: Mapping[str, Any]) -> Execution:
    """How to run. Raises UsageError for what only Ray can do."""
    execution = Execution(**fields)
    if execution.scale_up and not (execution.address and execution.workers):
        raise UsageError(
            "--scale-up needs --address and --workers: on what cluster, and for how many steps at a"
            " time"
        )
    EXECUTORS[execution.executor]().check(execution)
    return execution


def _check_lasting(path: Path) -> None:
    """A Ray job works in a copy of the working folder that is deleted with Ray's session, and so
    would be a run folder in it.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"--run {path} would lie in the job's own copy of the folder and vanish with it; give"
            " an absolute path on shared storage"
        )


def _ending(before: int, done: int, failed: int, path: Path) -> str:
    if not failed:
        return f"{done} steps done" + (f", {before} were done before" if before else "")
    return (
        f"{done} steps done, {failed} FAILED; `apc-bench status {path}` lists them, and the same"
        " command tries them again"
    )


def _repeating(given: Invocation) -> tuple[Invocation, Run | None]:
    """The invocation with the dataset of the run that is repeated, and that run; as it is where
    none is. Raises UsageError, RunError.
    """
    if given.like is None:
        return given, None
    if given.job is not None:
        raise UsageError("--like RUN repeats that run's own job; leave --job out")
    run = Run.open(given.like)
    synthetic = run.info["settings"].get("synthetic") is not None
    return replace(given, data=given.data or (None if synthetic else Path(run.info["data"]))), run


def _differences(repeated: Run, prepared: Prepared, path: Path) -> list[str]:
    """What is not as it was when the repeated run was made. Raises UsageError where its own folder
    would be the place of its repetition.
    """
    if path.resolve() == repeated.path.resolve():
        raise UsageError(
            f"{path} is the run that --like repeats, and holds its results already; name another"
            " folder with --run"
        )
    info = repeated.info
    changed = [
        f"{name} was {old!r}, is {prepared.environment.get(name)!r}"
        for name, old in info["computing"].items()
        if prepared.environment.get(name) != old
    ]
    prints = {planned.category.name: planned.fingerprint for planned in prepared.planned}
    changed += [
        f"the content of category '{name}' changed"
        for name, old in info["fingerprints"].items()
        if prints.get(name, old) != old
    ]
    changed += [
        f"the weights of '{name}' changed"
        for name, found in prepared.weights.items()
        if info["weights"].get(name, {}).get("sha256", found.sha256) != found.sha256
    ]
    return [f"not as in {repeated.path}, so numbers may differ: {line}" for line in changed] or [
        f"all that decides numbers is as in {repeated.path}"
    ]


def _settings(given: Invocation, repeated: Run | None) -> tuple[Sweep, list[str]]:
    """The repeated run's; else the job named; else the paper's methods on the folder given, resized
    to a square unless it is MVTec AD; else the quickstart.
    """
    if repeated is not None:
        settings = {
            **repeated.info["settings"],
            **{name: value for name, value in given.flags.items() if value is not None},
        }
        return make_sweep(settings, source=f"settings of {repeated.path}"), []
    if given.job or given.data is None:
        return sweep_from(given.job or "quickstart", given.flags)
    dataset = read_dataset(given.data, categories=given.flags.get("categories"))
    flags = dict(given.flags)
    if flags.get("resize") is None and not is_mvtec_ad(dataset):
        flags["resize"] = "square"
    flags["categories"] = flags.get("categories") or tuple(
        category.name for category in dataset.categories
    )
    job = "photos" if flags.get("protocol") == "crossfit" else "paper"
    return sweep_from(job, {**flags, "job": "sweep"})


def _report(run: Run, prepared: Prepared, out: Console) -> None:
    from apc_bench.report import (
        crossfit_summaries,
        read_results,
        sentences,
        terminal_table,
        write_report,
    )

    results = read_results(run)
    found = crossfit_summaries(results, run)
    page = write_report(run, data=prepared.dataset.root, results=results, found=found)
    out.print(terminal_table(results))
    for line in (line for answer in found for line in sentences(answer)):
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    out.print(f"page: {page.resolve()}", soft_wrap=True, highlight=False, markup=False)


def _tell(prepared: Prepared, path: Path, execution: Execution, out: Console) -> None:
    """The steps in the order of the plan, what of them is done, what would be downloaded, and about
    how long it takes.
    """
    for line in prepared.missing:
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    run = Run(path)
    done = {step.result_key for step in prepared.steps if run.is_done(step)}
    for step in prepared.steps:
        mark = "done " if step.result_key in done else "would"
        out.print(f"{mark} {step.name}", soft_wrap=True, highlight=False, markup=False)
    left = [step for step in prepared.steps if step.result_key not in done]
    out.print(f"run folder: {path}", soft_wrap=True, highlight=False, markup=False)
    out.print(
        f"{counted_steps(prepared.steps)}; {len(left)} left;"
        f" {about(left, prepared.sweep, execution)}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
