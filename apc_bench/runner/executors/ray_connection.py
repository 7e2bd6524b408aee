"""Connecting to Ray: to a cluster that runs, or to a Ray of our own for the time of a sweep."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from apc_bench.errors import ResourceError
from apc_bench.files.machine import usable_memory
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.ray_place import (
    OBJECT_STORE,
    WITHOUT,
    Place,
    find_place,
    reachable,
    slots,
)

LOOPBACK = "127.0.0.1"


@contextmanager
def connected(resources: Resources, say: Callable[[str], None]) -> Iterator[Any]:
    """The module `ray` while it is connected: to the cluster at the address, else to a Ray of our
    own. Raises ResourceError where no cluster answers, or Ray cannot start here.
    """
    # Else "(raylet) …" lines land on stdout.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's own metrics, which nobody reads here, are recorded by a thread that can outlive
    # ray.shutdown: then the driver crashes at its end.
    os.environ.setdefault("RAY_metrics_report_interval_ms", "86400000")
    address = resources.address
    with _private(resources, say) if address is None else _cluster(address) as ray:
        yield ray


@contextmanager
def _private(resources: Resources, say: Callable[[str], None]) -> Iterator[Any]:
    """A Ray of our own: never somebody's cluster that happens to run here, with a token of its own,
    and gone at the end. Raises ResourceError where it cannot start.
    """
    place = find_place(resources.ray_temp, say)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    own = ray.util.get_node_ip_address()
    host = reachable((own, LOOPBACK))
    try:
        try:
            _start(ray, resources, place, None if host == own else host)
        except Exception as error:  # whatever it is, it is Ray's and not ours
            raise ResourceError(
                f"Ray could not start: {cause(error)}; its logs are in"
                f" {place.folder}/session_latest/logs; {WITHOUT}"
            ) from None
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, resources: Resources, place: Place, host: str | None) -> None:
    ray.init(
        address="local",
        num_cpus=resources.cpus * slots(resources),
        num_gpus=None if any(resources.gpus.values()) else 0,
        object_store_memory=OBJECT_STORE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _memory=max(OBJECT_STORE, usable_memory().amount - OBJECT_STORE),
        _temp_dir=str(place.folder),
        _plasma_directory=None if place.objects is None else str(place.objects),
        _node_ip_address=host,
    )


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


def cause(error: Exception) -> str:
    """An error of Ray in one short line."""
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (f": {lines[0][:160]}" if lines else "")
