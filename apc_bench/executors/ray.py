"""Steps fanned out over the cores and GPUs of this machine with Ray: the only file that imports ray (RAY.md says what was measured)."""

import faulthandler
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apc_bench.errors import ResourceError
from apc_bench.executors.ready import Ready
from apc_bench.executors.stopping import Stop
from apc_bench.plan import Step
from apc_bench.work import Outcome

ATTEMPTS = 3
POLL = 0.5
CALLS_PER_WORKER = 64


@dataclass(frozen=True, slots=True)
class Resources:
    """What the steps of a sweep may use: `workers` at a time, each with `cpus` cores and `gpus` (a fraction is fine); `timeout` seconds a step."""

    workers: int
    cpus: int
    gpus: float = 0.0
    timeout: float | None = None


@dataclass(slots=True)
class _Flight:
    step: Step
    attempt: int
    submitted: float


def run(
    steps: Iterable[Step], work: Callable[[Step], Outcome], resources: Resources, say: Callable[[str], None]
) -> Iterator[tuple[Step, Outcome]]:
    """Does the steps on a private Ray of this machine and yields each outcome as it comes; `say` shows the user a line.

    Retries are the driver's and only for lost workers: what a step raises by itself is an outcome already. Raises ResourceError when
    the machine cannot meet one step's request, KeyboardInterrupt once it has stopped for a Ctrl-C or SIGTERM (stopping.py).
    """
    with _private_ray(resources) as ray, Stop(say) as stop:
        yield from _drive(ray, Ready(steps), work, resources, stop)


def _drive(ray: Any, ready: Ready, work: Callable[[Step], Outcome], resources: Resources, stop: Stop) -> Iterator[tuple[Step, Outcome]]:
    # max_calls keeps a GPU worker alive over many steps: importing torch costs more than most steps.
    remote = ray.remote(max_retries=0, max_calls=CALLS_PER_WORKER)(_call)
    shared = ray.put(work)
    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
    )
    flying: dict[Any, _Flight] = {}
    again: list[tuple[Step, int]] = []

    def submit(step: Step, attempt: int) -> None:
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "name": step.name}
        flying[remote.options(**options).remote(shared, step, resources.timeout)] = _Flight(step, attempt, time.monotonic())

    while True:
        while not stop.asked and len(flying) < resources.workers and (entry := again.pop() if again else _next(ready)) is not None:
            submit(*entry)
        if not flying or stop.at_once(len(flying)):
            break
        done, _ = ray.wait(list(flying), num_returns=1, timeout=POLL)
        for reference in done:
            flight = flying.pop(reference)
            try:
                outcome = ray.get(reference)
            except lost as error:
                spent = time.monotonic() - flight.submitted
                if _overdue(flight, resources):
                    outcome = Outcome(False, spent, f"stopped after the time limit of {resources.timeout:g} s", recorded=False)
                elif flight.attempt < ATTEMPTS:
                    again.append((flight.step, flight.attempt + 1))
                    continue
                else:
                    outcome = Outcome(False, spent, f"its worker was lost {ATTEMPTS} times ({_cause(error)})", recorded=False)
            yield from ready.finish(flight.step, outcome)
    if stop.asked:
        raise KeyboardInterrupt


def _call(work: Callable[[Step], Outcome], step: Step, timeout: float | None) -> Outcome:
    """Does one step in a worker, which ends itself when the step takes too long.

    No ray.cancel(force=True), here or at the end of a sweep: where the step ends in the same moment, Ray 2 aborts the driver
    ("Tried to complete task that was not pending").
    """
    if timeout is None:
        return work(step)
    faulthandler.dump_traceback_later(timeout, exit=True)  # a thread of C: a step that holds the interpreter's lock is ended too
    try:
        return work(step)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _next(ready: Ready) -> tuple[Step, int] | None:
    step = ready.pop()
    return None if step is None else (step, 1)


def _overdue(flight: _Flight, resources: Resources) -> bool:
    return resources.timeout is not None and time.monotonic() - flight.submitted > resources.timeout


def _cause(error: Exception) -> str:
    return type(error).__name__ + ": " + str(error).strip().splitlines()[0][:160]


@contextmanager
def _private_ray(resources: Resources) -> Iterator[Any]:
    """A Ray of our own: never somebody's cluster that happens to run here, with a token of its own, and gone at the end."""
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # else "(raylet) …" lines land on stdout
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's own metrics, which nobody reads here, are recorded by a thread that can outlive ray.shutdown: then the driver crashes at its end.
    os.environ.setdefault("RAY_metrics_report_interval_ms", "86400000")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    cpus = resources.workers * resources.cpus
    gpus = {} if resources.gpus else {"num_gpus": 0}
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100_000_000,
        **gpus,
    )
    try:
        there = ray.cluster_resources().get("GPU", 0)
        if resources.gpus > there:
            raise ResourceError(
                f"a step asks for {resources.gpus:g} GPU and this machine has {there:g}; pass --device cpu or a smaller --gpus-per-step"
            )
        yield ray
    finally:
        ray.shutdown()
