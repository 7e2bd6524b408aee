"""A sweep: the plan minus what the run folder has, through an executor, to a summary. The driver's
side; it loads no torch.
"""

import functools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from apc_bench.datasets.encoding import recorded
from apc_bench.datasets.unused import unused_files
from apc_bench.errors import DamagedFile, RunError, StorageError, UsageError
from apc_bench.files.hashing import digest
from apc_bench.plan import Step
from apc_bench.plugins import version_of
from apc_bench.runner.executors import EXECUTORS
from apc_bench.runner.executors.protocol import Execution, Hooks
from apc_bench.runner.foretold import foretold
from apc_bench.runner.messages import Outcome, SweepContext, attempted
from apc_bench.runner.prepare import Prepared
from apc_bench.runner.progress import Display, counted_steps, plain
from apc_bench.runner.time_limit import take_note
from apc_bench.settings.detectors import package_of
from apc_bench.settings.sweep import Sweep
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.folder import in_parallel
from apc_bench.store.info import RunInfo, is_run
from apc_bench.store.places import HIVE
from apc_bench.store.provenance import computing_environment, recorded_environment
from apc_bench.store.run import Run
from apc_bench.store.stages import remove_stage

COMPACTED_FROM = 100
"""Trials with files of their own from which on a sweep compacts its run at its end: a history reads
a hundred nights, and small files are most of what it waits for.
"""

NEEDED = ("settings", "computing", "fingerprints", "weights", "left_out", "emptied", "created")
"""What run.json must record for a sweep to go on in its folder."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a sweep ended: steps done before, done now, and failed with their reasons."""

    before: int
    done: int
    failed: tuple[tuple[Step, str], ...]

    @property
    def exit_code(self) -> int:
        """Of the process (docs/architecture.md, "Errors and exit codes")."""
        return 1 if self.failed else 0


def default_run(sweep: Sweep, dataset: str) -> Path:
    """`runs/<job>-<dataset>-<digest>`: the same settings find the same folder again, whatever
    seeds, shots and categories are asked for.
    """
    methods = {}
    for name, method in sweep.methods.items():
        methods[name] = {**method.identity(), "weights": str(method.weights)}
    settings = {key: value for key, value in sweep.fixed().items() if key != "synthetic"}
    synthetic = sweep.synthetic.model_dump(mode="json") if sweep.synthetic else None
    return Path("runs") / f"{sweep.job}-{dataset}-{digest([settings, synthetic, methods], 8)}"


def run_sweep(
    prepared: Prepared, path: Path, cache: Cache, execution: Execution, console: Console
) -> Summary:
    """Does what is left of the plan, records it in the run folder `path` and shows it on the
    console.

    Raises RunError when the folder is in use or belongs to a sweep with other settings,
    StorageError when a write fails.
    """
    run = Run(path)
    if not is_run(path):  # what is wrong with a split is said before there is a folder
        prepared.splits_of(prepared.steps)
    with run.lock() as holding:
        left = _write_start(run, prepared)
        context = _context(prepared, path, cache, execution, holding)
        before = len(prepared.steps) - len(left)
        expected = foretold(prepared, left, execution, plain(console))
        with Display(left, run.attempts_folder, console=console, expected=expected) as display:
            for line in run.damaged:
                display.say(f"damaged: {line}")
            steps = counted_steps(prepared.steps)
            display.say(f"{steps}; {before} of them done already" if before else steps)
            failed = []
            for step, outcome in _execute(left, run, context, execution, display):
                display.ended_with(step, outcome)
                if not outcome.ok:
                    failed.append((step, outcome.reason or ""))
                    _record_for_worker(run, step, outcome)
                if outcome.fatal:
                    raise StorageError(outcome.reason)
            if run.schema != HIVE and run.compaction.small() >= COMPACTED_FROM:
                display.say(_compacted(run))
        return Summary(before, len(left) - len(failed), tuple(failed))


def _compacted(run: Run) -> str:
    """What came of it. A sweep that has done all its steps has not failed for that."""
    try:
        return run.compact().line()
    except StorageError as error:
        return f"not compacted, and nothing is lost: {error}"


def _execute(
    steps: list[Step], run: Run, context: SweepContext, execution: Execution, display: Display
) -> Iterator[tuple[Step, Outcome]]:
    if not steps:
        return iter(())
    perform = functools.partial(_perform, context=context)
    hooks = Hooks(
        say=display.say,
        began=display.began,
        probe=functools.partial(find_fault, context),
        lost=functools.partial(_lost, run, context),
    )
    executor = EXECUTORS[execution.executor]()
    return executor.run(steps, perform, execution.resources(context.sweep), hooks)


def find_fault(context: SweepContext) -> str | None:
    """What is wrong with this machine for the steps of a sweep: called on every node of a
    cluster.
    """
    if not is_run(context.run):
        return f"cannot reach the run folder {context.run}"
    if not context.data.is_dir():
        return f"cannot reach the dataset {context.data}"
    sweep = context.sweep
    here = computing_environment(
        device=sweep.device, threads=sweep.threads, precision=sweep.precision
    )
    differing = []
    for name, value in context.environment.items():
        if here.get(name) != value:
            differing.append(f"{name} is {here.get(name)!r}, not {value!r}")
    for detector, package in context.packages.items():
        installed = _package(detector)
        if installed != package:
            differing.append(
                f"the package of detector '{detector}' is {installed!r}, not {package!r}"
            )
    for name, known in context.libraries.items():
        if version_of(name) != known:
            differing.append(f"{name} is {version_of(name)!r}, not {known!r}")
    for method, network in context.networks.items():
        installed = f"timm {version_of('timm')}"
        if installed != network.package:
            differing.append(
                f"the backbone of method '{method}' is of {installed}, not {network.package}"
            )
    return f"would compute other bits: {'; '.join(differing)}" if differing else None


def _package(detector: str) -> str:
    """`name version` of the package that brings the detector here, or why none does."""
    try:
        return package_of(detector) or "absent"
    except UsageError as error:
        return str(error)


def _lost(run: Run, context: SweepContext, step: Step, cause: str) -> Outcome | bool:
    """Records that a step's worker was lost. Returns an outcome where the step need not be tried
    again: it had committed already, or it was its time limit that ended it; else whether the worker
    had begun it.
    """
    with suppress(OSError):
        remove_stage(run.attempts_folder, step.result_key)
    if run.is_done(step):
        return Outcome(True, 0.0)
    begun = False
    for attempt in attempts.read_attempts(run.attempts_folder):
        if attempt.result_key == step.result_key:
            begun = attempt.event == attempts.START
    stacks = take_note(context.note_of_time_limit(step.result_key))
    if stacks is not None:
        reason = f"ended after {context.step_timeout:g} s (--step-timeout)"
        return Outcome(False, context.step_timeout or 0.0, reason, stacks, recorded=False)
    attempts.record(run.attempts_folder, attempts.LOST, **attempted(step), reason=cause)
    return begun


def _perform(step: Step, context: SweepContext) -> Outcome:
    """Does one step in this process; torch is loaded here and not in the driver."""
    from apc_bench.runner.worker import perform

    return perform(step, context)


def _context(
    prepared: Prepared, path: Path, cache: Cache, execution: Execution, holding: str
) -> SweepContext:
    context = prepared.context(path, cache)
    return replace(context, holding=holding, step_timeout=execution.step_timeout)


def _record_for_worker(run: Run, step: Step, outcome: Outcome) -> None:
    """Records what a lost or never started step could not record itself."""
    if not outcome.recorded and not outcome.fatal:
        attempts.record(
            run.attempts_folder,
            attempts.FAILED,
            **attempted(step),
            reason=outcome.reason,
            traceback=outcome.traceback,
        )


def _write_start(run: Run, prepared: Prepared) -> list[Step]:
    """Checks that the folder is this sweep's and that what is left can be split, then adds
    settings, plan and splits to it. Returns the steps that are left to do.
    """
    info, old = info_of(prepared), _info_before(run)
    if old is not None:
        info = old.merge(info, run.path)
    run.clean()
    done = run.done(prepared.steps)
    left = [step for step in prepared.steps if step.result_key not in done]
    places = ((step.category, step.seed) for step in prepared.steps)
    lacking = run.splits.lacking(prepared.dataset.name, places, run.known)
    unsplit = [step for step in prepared.steps if (step.category, step.seed) in lacking]
    splits = prepared.splits_of([*left, *unsplit])
    run.planned.add(prepared.steps)
    run.write_info(replace(info, schema=run.schema))
    if run.compaction.staging.exists():
        run.compact()
    in_parallel(run.splits.write, splits)
    run.known.save()
    run.compaction.take_out(left)
    return left


def _info_before(run: Run) -> RunInfo | None:
    """What run.json says; None in a new folder, or where it is damaged, which `run.damaged` tells:
    results are found by their own keys.

    Raises RunError for a folder that is no run, or of a newer version.
    """
    if not is_run(run.path):
        if _holds_files(run.path) and not run.planned.exist():
            raise RunError(f"{run.path} is not empty and no run folder; name another --run")
        return None
    try:
        return Run.open(run.path).info_with(*NEEDED)
    except DamagedFile as error:
        run.remember(f"{error}; it is written anew for this command's settings")
        return None


def _holds_files(folder: Path) -> bool:
    """Whether there is more in the folder than the lock and other hidden files."""
    return folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())


def info_of(prepared: Prepared) -> RunInfo:
    """run.json of a sweep that starts now."""
    weights = {}
    for name, method in prepared.sweep.chosen.items():
        used = prepared.weights[name]
        weights[name] = {
            "sha256": used.sha256,
            "origin": used.origin,
            "backbone": method.backbone,
        }
        if method.package:
            weights[name]["package"] = method.package
        if used.network:
            weights[name]["network"] = str(used.network)
    return RunInfo(
        dataset=prepared.dataset.name,
        data=prepared.dataset.root,
        settings=prepared.sweep.model_dump(mode="json"),
        fingerprints=prepared.fingerprints,
        weights=weights,
        computing=dict(prepared.environment),
        environment=recorded_environment(),
        left_out=prepared.left_out,
        emptied=prepared.emptied,
        encodings=recorded(prepared.encodings),
        unused=unused_files(prepared.dataset),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
