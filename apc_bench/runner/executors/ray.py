"""Steps fanned out with Ray, over this machine or a cluster (docs/architecture.md, "Ray" says what
was measured).
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from apc_bench.errors import ResourceError
from apc_bench.files.machine import usable_cores, usable_memory
from apc_bench.plan import Step
from apc_bench.runner.executors.protocol import Execution, Hooks, Perform, Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.scheduler import Loss, Scheduler
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome

POLL = 0.5
CALLS_PER_WORKER = 64
LOOK_EVERY = 10.0
STEP_MEMORY = 1 << 30
"""Bytes that a worker takes for the smallest step [measured]; with a ResNet at 224 pixels it takes
up to four times as much.
"""

OBJECT_STORE = 100_000_000
"""Bytes; only steps and outcomes travel."""

Probe = Callable[[], str | None]


def check(execution: Execution) -> None:
    """Ray can do all that may be asked."""


def slots(resources: Resources) -> int:
    """As many as asked for, else as the cores and the memory allow that this process may use."""
    if resources.workers:
        return resources.workers
    fitting = min(usable_cores().amount // resources.cpus, usable_memory().amount // STEP_MEMORY)
    return max(1, fitting)


def run(
    steps: Iterable[Step], perform: Perform, resources: Resources, hooks: Hooks
) -> Iterator[tuple[Step, Outcome]]:
    """Does the steps and yields each outcome as it comes.

    Retries are the scheduler's: what a step raises by itself is an outcome already. Raises
    ResourceError where no node can meet a step's request, where no cluster answers, or where
    the probe finds fault with a node of it; KeyboardInterrupt once it has stopped for a Ctrl-C or
    SIGTERM (signals.py).
    """
    steps = list(steps)
    if resources.workers:
        resources = replace(resources, workers=min(resources.workers, len(steps)))
    with connected(resources) as ray, StopSignals(hooks.say) as stop:
        if not resources.scale_up:
            _check_requests(ray, {step.kind for step in steps}, resources)
        if resources.address is not None:
            _check_nodes(ray, hooks.probe, resources)
        scheduler = Scheduler(RayPool(ray, perform, resources), resources, hooks.lost)
        yield from scheduler.outcomes(StepQueue(steps), stop)


class RayPool:
    """Workers as Ray's tasks; `ray` is the connected module. Ray's own retries are off: it would
    retry without limit what cannot succeed.
    """

    def __init__(self, ray: Any, perform: Perform, resources: Resources) -> None:
        self.ray, self.resources = ray, resources
        # max_calls keeps a GPU worker alive over many steps: importing torch costs more than most.
        self._remote = ray.remote(max_retries=0, max_calls=CALLS_PER_WORKER)(_call)
        self._perform = ray.put(perform)
        self._fitting = 1
        self._looked: float | None = None

    def slots(self) -> int:
        """Steps that fit the cluster, looked up now and then, since it grows and shrinks."""
        if self.resources.scale_up:
            return self.resources.workers or 1
        now = time.monotonic()
        if self._looked is None or now - self._looked > LOOK_EVERY:
            self._fitting, self._looked = self._fit(), now
        return self._fitting

    def _fit(self) -> int:
        there = self.ray.cluster_resources()
        fitting = int(there.get("CPU", 0) // self.resources.cpus)
        share = min(self.resources.gpus.values())
        if share:
            fitting = min(fitting, int(there.get("GPU", 0) / share + 1e-6))
        return max(1, min(fitting, self.resources.workers or fitting))

    def submit(self, step: Step, cpus: float, gpus: float) -> Hashable:
        """Hands a step to a worker; returns Ray's reference.

        Ray keeps counters for each name that it ever saw, 10 KB apiece: so the task is named for
        the kind, and not for the step.
        """
        remote = self._remote.options(num_cpus=cpus, num_gpus=gpus, name=step.kind)
        reference: Hashable = remote.remote(self._perform, step)
        return reference

    def wait(self, tasks: Sequence[Hashable]) -> Sequence[Hashable]:
        """One that has ended, or none after POLL seconds."""
        done: list[Hashable] = self.ray.wait(tasks, num_returns=1, timeout=POLL)[0]
        return done

    def result(self, task: Hashable) -> Outcome | Loss:
        """How a task that has ended did so."""
        errors = self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(task)
        except errors.OutOfMemoryError as error:
            return Loss("memory", _cause(error))
        except errors.WorkerCrashedError as error:
            return Loss("worker", _cause(error))
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            return Loss("node", _cause(error))
        return outcome

    def most_cpus(self) -> float:
        """Cores of the largest node that lives."""
        cores = [node.get("CPU", 0.0) for node in _living(self.ray)]
        return max(cores, default=self.resources.cpus)


def _call(perform: Perform, step: Step) -> Outcome:
    return perform(step)


def _cause(error: Exception) -> str:
    return type(error).__name__ + ": " + str(error).strip().splitlines()[0][:160]


def _living(ray: Any) -> list[dict[str, float]]:
    """The resources of every node that lives."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def connected(resources: Resources) -> Iterator[Any]:
    """The module `ray` while it is connected: to the cluster at the address, else to a Ray of our
    own. Raises ResourceError where no cluster answers.
    """
    # Else "(raylet) …" lines land on stdout.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's own metrics, which nobody reads here, are recorded by a thread that can outlive
    # ray.shutdown: then the driver crashes at its end.
    os.environ.setdefault("RAY_metrics_report_interval_ms", "86400000")
    with _private(resources) if resources.address is None else _cluster(resources.address) as ray:
        yield ray


@contextmanager
def _private(resources: Resources) -> Iterator[Any]:
    """A Ray of our own: never somebody's cluster that happens to run here, with a token of its own,
    and gone at the end.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    ray.init(
        address="local",
        num_cpus=resources.cpus * slots(resources),
        num_gpus=None if any(resources.gpus.values()) else 0,
        object_store_memory=OBJECT_STORE,
        _memory=max(OBJECT_STORE, usable_memory().amount - OBJECT_STORE),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """A cluster that runs already: its nodes, its token, and it stays when the sweep ends."""
    import ray
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        host, _, port = canonicalize_bootstrap_address_or_die(address).rpartition(":")
        # Where nobody listens, ray.init tries for minutes.
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = "start one with `ray start --head` and pass its HOST:PORT, or leave --address out"
        raise ResourceError(f"no Ray cluster answers at {address}: {reason}; {hint}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_requests(ray: Any, kinds: set[str], resources: Resources) -> None:
    """Raises ResourceError for what no node has: Ray would wait for ever for one that does."""
    nodes = [(node.get("CPU", 0), node.get("GPU", 0)) for node in _living(ray)]
    for kind in sorted(kinds):
        gpus = resources.gpus[kind]
        if any(cpu >= resources.cpus and gpu >= gpus for cpu, gpu in nodes):
            continue
        most_cpus, most_gpus = (max(counts) for counts in zip(*nodes, strict=True))
        hint = "pass --device cpu, fewer --threads or a smaller share of a GPU"
        raise ResourceError(
            f"a step of kind '{kind}' asks for {resources.cpus} cores and {gpus:g} GPU; nodes have"
            f" at most {most_cpus:g} cores and {most_gpus:g} GPUs; {hint}"
        )


def _check_nodes(ray: Any, probe: Probe, resources: Resources) -> None:
    """Asks every node that could be given a step. Raises ResourceError that names each node with
    what is wrong there.
    """
    on_gpu = any(resources.gpus.values())
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [
        (node, _ask(ray, node, probe, on_gpu=on_gpu))
        for node in nodes
        if node["Resources"].get("CPU", 0) >= resources.cpus
    ]
    faults = []
    for node, reference in asked:
        fault = _answer(ray, reference)
        if fault:
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            faults.append(f"node {name} {fault}")
    if faults:
        raise ResourceError("; ".join(faults))


def _ask(ray: Any, node: dict[str, Any], probe: Probe, *, on_gpu: bool) -> Any:
    """Has a node call the probe, with a sliver of a GPU where steps compute on one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(
        num_cpus=0,
        num_gpus=0.01 if on_gpu and node["Resources"].get("GPU") else 0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
    )
    return remote(_call_probe).remote(probe)


def _answer(ray: Any, reference: Any) -> str | None:
    """What the probe said, or why it could not be asked."""
    try:
        fault: str | None = ray.get(reference, timeout=120)
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()[-1][:160]
        return (
            f"could not be asked ({type(error).__name__}: {cause}); is the same apc-bench installed"
            " there?"
        )
    return fault


def _call_probe(probe: Probe) -> str | None:
    return probe()
