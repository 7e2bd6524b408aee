"""From what a person asks for to a sweep that has run: what the command and the Python interface do
alike.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from apc_bench.datasets.catalog import is_mvtec_ad
from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import ResourceError, StorageError, UsageError, unknown
from apc_bench.runner.driver import Summary, run_sweep
from apc_bench.runner.executors import EXECUTORS
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import Prepared
from apc_bench.runner.progress import plain
from apc_bench.settings.job import sweep_from
from apc_bench.settings.sweep import Sweep
from apc_bench.store.cache import Cache
from apc_bench.store.cache_upkeep import LIMIT, default_limit, keep_limit
from apc_bench.store.provenance import gpu_names
from apc_bench.wording import in_bytes


def chosen_settings(
    job: str | Mapping[str, Any] | None, data: Path | None, flags: Mapping[str, Any]
) -> tuple[Sweep, list[str]]:
    """The job, by its name, its file or its settings; else the paper's methods on the folder given,
    resized to a square unless it is MVTec AD; else the quickstart. And lines to show. `flags`: as
    `sweep_from`. Raises UsageError, DataError.
    """
    if job is not None or data is None:
        return sweep_from("quickstart" if job is None else job, flags)
    dataset = read_dataset(data, categories=flags.get("categories"))
    names = tuple(category.name for category in dataset.categories)
    flags = {**flags, "categories": flags.get("categories") or names, "job": "sweep"}
    if flags.get("resize") is None and not is_mvtec_ad(dataset):
        flags["resize"] = "square"
    return sweep_from("photos" if flags.get("protocol") == "crossfit" else "paper", flags)


def checked(execution: Execution) -> Execution:
    """How to run, with the address of this machine alone resolved. Raises UsageError for what the
    executor cannot do.
    """
    if execution.address == "local":
        execution = replace(execution, address=None)
    if execution.scale_up and not (execution.address and execution.workers):
        raise UsageError(
            "--scale-up needs --address and --workers: on what cluster, and for how many steps at a"
            " time"
        )
    if execution.executor not in EXECUTORS:
        raise UsageError(unknown("executor", execution.executor, EXECUTORS))
    EXECUTORS[execution.executor]().check(execution)
    return execution


def check_gpu(settings: Sweep, execution: Execution) -> None:
    """Raises ResourceError where every step would look for a GPU that this machine lacks; a cluster
    is asked once Ray is connected to it.
    """
    if settings.device != "cuda" or execution.address is not None or gpu_names():
        return
    import torch  # where the driver's own tool is missing, it alone knows

    if not torch.cuda.is_available():
        raise ResourceError(
            "--device cuda: this machine has no GPU that torch can use; leave --device out for the"
            " processor, or name a cluster that has GPUs with --address"
        )


def check_lasting(path: Path) -> None:
    """A Ray job works in a copy of the working folder that is deleted with Ray's session, and so
    would be a run folder in it.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"--run {path} would lie in the job's own copy of the folder and vanish with it; give"
            " an absolute path on shared storage"
        )


def make_room(folder: Path) -> list[str]:
    """Holds the cache to its limit: what was removed, in a line."""
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


def swept(
    prepared: Prepared, path: Path, cache: Cache, execution: Execution, console: Console
) -> Summary:
    """Does the sweep, and says where and which steps failed. Raises as `run_sweep`."""
    say = plain(console)
    say(f"run folder: {path}")
    summary = run_sweep(prepared, path, cache, execution, console)
    for step, reason in summary.failed:
        say(f"failed: {step.name}: {reason}")
    return summary
