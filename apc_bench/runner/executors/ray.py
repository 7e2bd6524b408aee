"""Steps fanned out with Ray, over this machine or a cluster: the only file that imports ray
(docs/architecture.md, "Ray" says what was measured).
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from apc_bench.errors import ResourceError
from apc_bench.plan import Step
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.scheduler import Lost, Resources, Scheduler, Work
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome

Probe = Callable[[], str | None]
"""Run on every node of a cluster before the first step: what is wrong there, or None."""


def run(
    steps: Iterable[Step],
    work: Work,
    resources: Resources,
    *,
    lost: Lost,
    probe: Probe,
    say: Callable[[str], None],
) -> Iterator[tuple[Step, Outcome]]:
    """Does the steps and yields each outcome as it comes; `say` shows the user a line.

    Retries are the driver's (drive.py): what a step raises by itself is an outcome already. Raises
    ResourceError where no node can meet a step's request, where no cluster answers, or where
    `probe` finds fault with a node of it; KeyboardInterrupt once it has stopped for a Ctrl-C or
    SIGTERM (stopping.py).
    """
    steps = list(steps)
    with _connected(resources) as ray, StopSignals(say) as stop:
        if not resources.scale_up:
            _check_requests(ray, {step.kind for step in steps}, resources)
        if resources.address is not None:
            _check_nodes(ray, probe, resources)
        yield from Scheduler(ray, StepQueue(steps), work, resources, stop, lost).outcomes()


@contextmanager
def _connected(resources: Resources) -> Iterator[Any]:
    os.environ.setdefault(
        "RAY_DEDUP_LOGS_SKIP_REGEX", ".*"
    )  # else "(raylet) …" lines land on stdout
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

    cpus = resources.cpus * (resources.workers or max(1, (os.cpu_count() or 1) // resources.cpus))
    gpus = {} if any(resources.gpus.values()) else {"num_gpus": 0}
    quiet: dict[str, Any] = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    ray.init(address="local", num_cpus=cpus, object_store_memory=100_000_000, **quiet, **gpus)
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
        socket.create_connection(
            (host.strip("[]"), int(port)), timeout=10
        ).close()  # where nobody listens, ray.init tries for minutes
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
    """Ray would wait for ever for a node that there is not."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for kind in sorted(kinds):
        gpus = resources.gpus[kind]
        if any(
            node.get("CPU", 0) >= resources.cpus and node.get("GPU", 0) >= gpus for node in nodes
        ):
            continue
        most = (
            f"{max(node.get('CPU', 0) for node in nodes):g} cores and"
            f" {max(node.get('GPU', 0) for node in nodes):g} GPUs"
        )
        hint = "pass --device cpu, fewer --threads or a smaller share of a GPU"
        raise ResourceError(
            f"a step of kind '{kind}' asks for {resources.cpus} cores and {gpus:g} GPU; nodes have"
            f" at most {most}; {hint}"
        )


def _check_nodes(ray: Any, probe: Probe, resources: Resources) -> None:
    """Asks every node that could be given a step. Raises ResourceError that names each node with
    what is wrong there.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = []
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU", 0) >= resources.cpus:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            gpus = 0.01 if any(resources.gpus.values()) and node["Resources"].get("GPU") else 0
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            remote = ray.remote(
                num_cpus=0, num_gpus=gpus, max_retries=0, scheduling_strategy=place
            )(_probed)
            asked.append((name, remote.remote(probe)))
    faults = []
    for name, reference in asked:
        try:
            fault = ray.get(reference, timeout=120)
        except ray.exceptions.RayError as error:
            fault = (
                f"could not be asked ({type(error).__name__}:"
                f" {str(error).strip().splitlines()[-1][:160]}); is the same apc-bench installed"
                " there?"
            )
        faults += [f"node {name} {fault}"] if fault else []
    if faults:
        raise ResourceError("; ".join(faults))


def _probed(probe: Probe) -> str | None:
    return probe()
