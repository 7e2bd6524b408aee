"""Steps fanned out with Ray, over this machine or a cluster (docs/architecture.md, "Ray" says what
was measured).
"""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from apc_bench.errors import ResourceError, UsageError
from apc_bench.plan import Step
from apc_bench.runner.executors.protocol import Execution, Hooks, Perform, Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.ray_connection import cause, connected
from apc_bench.runner.executors.ray_place import slots as slots
from apc_bench.runner.executors.scheduler import Loss, Scheduler
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome

POLL = 0.5
CALLS_PER_WORKER = 500
"""Steps that a worker does before another process takes its place, in case memory leaks somewhere;
a new one takes 10 s to load its libraries.
"""
LOOK_EVERY = 10.0

Probe = Callable[[], str | None]


def check(execution: Execution) -> None:
    """Raises UsageError for a folder of a Ray that is not our own."""
    if execution.ray_temp is not None and execution.address is not None:
        raise UsageError(
            "--ray-temp is for a Ray of the sweep's own, and --address names a cluster, which has"
            " its own folder: leave one of them out"
        )


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
    with connected(resources, hooks.say) as ray, StopSignals(hooks.say) as stop:
        if not resources.scale_up:
            _check_requests(ray, {step.kind for step in steps}, resources)
        if resources.address is not None:
            _check_nodes(ray, hooks.probe, resources)
        pool = RayPool(ray, perform, resources)
        scheduler = Scheduler(pool, resources, hooks.lost, hooks.began)
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
            return Loss("memory", cause(error))
        except errors.WorkerCrashedError as error:
            return Loss("worker", cause(error))
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            return Loss("node", cause(error))
        return outcome

    def most_cpus(self) -> float:
        """Cores of the largest node that lives."""
        cores = [node.get("CPU", 0.0) for node in _living(self.ray)]
        return max(cores, default=self.resources.cpus)


def _call(perform: Perform, step: Step) -> Outcome:
    return perform(step)


def _living(ray: Any) -> list[dict[str, float]]:
    """The resources of every node that lives."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


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
