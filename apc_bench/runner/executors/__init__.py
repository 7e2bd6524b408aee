"""Who does the steps of a sweep. Each executor is a module with the functions of protocol.Executor.

`ray_jobs` is none: it hands a whole `sweep` command to a cluster, where `ray` then does the steps.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads the names, and loads nothing else for --help
    from apc_bench.runner.executors.protocol import Executor


def _ray() -> "Executor":
    from apc_bench.runner.executors import ray

    return ray


def _serial() -> "Executor":
    from apc_bench.runner.executors import serial

    return serial


EXECUTORS: Mapping[str, Callable[[], "Executor"]] = {"ray": _ray, "serial": _serial}
"""By the name that --executor takes; the call loads it."""
