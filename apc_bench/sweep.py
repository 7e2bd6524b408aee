"""A sweep: the plan minus what the run folder has, through an executor, to a summary. The driver's side; it loads no torch."""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from apc_bench import work
from apc_bench.errors import RunError, StorageError
from apc_bench.executors import serial
from apc_bench.plan import Step
from apc_bench.preparation import Prepared
from apc_bench.progress import Display, counted
from apc_bench.settings import Sweep, digest
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.provenance import recorded_environment
from apc_bench.store.run import Run


@dataclass(frozen=True, slots=True)
class Execution:
    """How and where steps run; none of it changes a number. `workers`: at a time, None for as many as the cores allow."""

    executor: Literal["ray", "serial"] = "ray"
    workers: int | None = None
    gpus_per_step: float = 1.0
    step_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """How a sweep ended: steps done before, done now, and failed with their reasons."""

    before: int
    done: int
    failed: tuple[tuple[Step, str], ...]

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


def default_run(sweep: Sweep, dataset: str) -> Path:
    """`runs/<job>-<dataset>-<digest>`: the same settings find the same folder again, whatever seeds, shots and categories are asked for."""
    methods = {name: {**method.identity(), "weights": str(method.weights)} for name, method in sweep.methods.items()}
    settings = {key: value for key, value in sweep.fixed().items() if key != "synthetic"}
    synthetic = sweep.synthetic.model_dump(mode="json") if sweep.synthetic else None
    return Path("runs") / f"{sweep.job}-{dataset}-{digest([settings, synthetic, methods], 8)}"


def run_sweep(prepared: Prepared, path: Path, cache: Cache, execution: Execution, display_console: Any) -> Summary:
    """Does what is left of the plan and records it in the run folder `path`.

    Raises RunError when the folder is in use or belongs to a sweep with other settings, StorageError when a write fails.
    """
    run = Run(path)
    with run.lock():
        _write_start(run, prepared)
        done = {step.result_key for step in prepared.steps if run.is_done(step)}
        left = [step for step in prepared.steps if step.result_key not in done]
        with Display(left, console=display_console) as display:
            for line in run.damaged:
                display.say(f"damaged: {line}")
            display.say(f"{counted(prepared.steps)}" + (f"; {len(done)} of them done already" if done else ""))
            failed = []
            for step, outcome in _execute(left, _order(prepared, path, cache), execution, display.say):
                display.ended_with(step, outcome)
                if not outcome.ok:
                    failed.append((step, outcome.reason or ""))
                    _record_for_worker(run, step, outcome)
                if outcome.fatal:
                    raise StorageError(outcome.reason)
        return Summary(len(done), len(left) - len(failed), tuple(failed))


def _execute(steps: list[Step], order: work.Order, execution: Execution, say: Callable[[str], None]) -> Iterator[tuple[Step, work.Outcome]]:
    perform = functools.partial(_perform, order=order)
    if not steps:
        return iter(())
    if execution.executor == "serial":
        return serial.run(steps, perform)
    from apc_bench.executors import ray

    threads = order.sweep.threads
    gpu = order.sweep.device == "cuda"
    workers = execution.workers or max(1, (os.cpu_count() or 1) // threads)
    resources = ray.Resources(min(workers, len(steps)), threads, execution.gpus_per_step if gpu else 0.0, execution.step_timeout)
    return ray.run(steps, perform, resources, say)


def _perform(step: Step, order: work.Order) -> work.Outcome:
    """Does one step in this process; torch is loaded here and not in the driver."""
    from apc_bench.steps import perform

    return perform(step, order)


def _order(prepared: Prepared, path: Path, cache: Cache) -> work.Order:
    return work.Order(
        sweep=prepared.sweep,
        run=path.resolve(),
        data=prepared.dataset.root,
        cache=cache.folder.resolve(),
        fingerprints={planned.category.name: planned.fingerprint for planned in prepared.planned},
        weights={name: found.sha256 for name, found in prepared.weights.items()},
        environment=prepared.environment,
    )


def _record_for_worker(run: Run, step: Step, outcome: work.Outcome) -> None:
    """Records what a lost or never started step could not record itself."""
    if not outcome.recorded and not outcome.fatal:
        event = attempts.LOST if outcome.seconds else attempts.FAILED
        attempts.record(run.attempts_folder, event, result_key=step.result_key, kind=step.kind, step=step.name, reason=outcome.reason)


def _write_start(run: Run, prepared: Prepared) -> None:
    """Checks that the folder is this sweep's, then adds settings, plan and splits to it."""
    info = _info(prepared)
    if (run.path / "run.json").is_file():
        info = _merge(Run.open(run.path).info, info, run.path)
    elif run.path.is_dir() and any(not entry.name.startswith(".") for entry in run.path.iterdir()):
        raise RunError(f"{run.path} is not empty and no run folder; name another --run")
    run.clean()
    run.write_info(info)
    run.write_plan(prepared.steps)
    for planned in prepared.planned:
        for split in planned.splits.values():
            run.write_split(split)


def _info(prepared: Prepared) -> dict[str, Any]:
    weights = {
        name: {"sha256": found.sha256, "origin": found.origin, "backbone": prepared.sweep.methods[name].backbone}
        for name, found in prepared.weights.items()
    }
    return {
        "dataset": prepared.dataset.name,
        "data": str(prepared.dataset.root),
        "settings": prepared.sweep.model_dump(mode="json"),
        "fingerprints": {planned.category.name: planned.fingerprint for planned in prepared.planned},
        "weights": weights,
        "computing": dict(prepared.environment),
        "environment": recorded_environment(),
        "left_out": prepared.left_out,
        "emptied": prepared.emptied,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _merge(old: dict[str, Any], new: dict[str, Any], path: Path) -> dict[str, Any]:
    """The folder's info with added seeds, shots, categories and methods. Raises RunError that lists what else differs."""
    then, now = old["settings"], new["settings"]
    fixed = [name for name in Sweep.model_validate(now).fixed() if name != "synthetic"]
    differing = [f"{name} was {then.get(name)!r}, now {now.get(name)!r}" for name in fixed if then.get(name) != now.get(name)]
    differing += [
        f"{name} was {value!r}, now {new['computing'].get(name)!r}"
        for name, value in old["computing"].items()
        if new["computing"].get(name) != value
    ]
    for name, method in now["methods"].items():
        if name in then["methods"] and _identity(then["methods"][name]) != _identity(method):
            differing.append(f"method '{name}' has other settings")
    for name, weights in new["weights"].items():
        if old["weights"].get(name, weights)["sha256"] != weights["sha256"]:
            differing.append(f"method '{name}' has other weights")
    for name, print_ in new["fingerprints"].items():
        if old["fingerprints"].get(name, print_) != print_:
            differing.append(f"the content of category '{name}' changed")
    if differing:
        raise RunError(f"{path} belongs to a sweep with other settings: {'; '.join(dict.fromkeys(differing))}; name another --run")
    merged = {**now, "methods": {**then["methods"], **now["methods"]}}
    for name in ("seeds", "shots"):
        merged[name] = sorted({*then[name], *now[name]})
    known = then["categories"], now["categories"]
    merged["categories"] = sorted({*known[0], *known[1]}) if all(known) else None
    merged["only"] = None
    both = {name: {**old[name], **new[name]} for name in ("fingerprints", "weights", "left_out", "emptied")}
    return {**new, **both, "settings": merged, "created": old["created"], "resumed": new["created"]}


def _identity(method: dict[str, Any]) -> list[Any]:
    return [method["detector"], method["backbone"], method["settings"]]
