"""About how long steps will take: their arithmetic over this machine's measured matrix rate. Rough
by nature, and said so.
"""

import os
import time
from collections.abc import Sequence

import numpy as np

from apc_bench.plan import Step
from apc_bench.runner.executors import EXECUTORS
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.progress import duration
from apc_bench.settings.sweep import Sweep

REACHED = 0.35
"""The share of the matrix rate that whole steps reach, convolutions of small images and Python
included.
"""

PER_STEP = 1.0
"""Seconds of a step that are no arithmetic: reading, writing, metrics."""


def about(steps: Sequence[Step], sweep: Sweep, execution: Execution) -> str:
    """`roughly 12 min on this machine`, or why there is no estimate."""
    if sweep.device == "cuda":
        return "no estimate of time for a GPU: it depends on the GPU more than on the plan"
    slots = EXECUTORS[execution.executor]().slots(execution.resources(sweep))
    cores = os.cpu_count() or 1
    share = min(1.0, slots * sweep.threads / cores)
    flops = 2 * sum(step.macs for step in steps)
    seconds = flops / (matrix_rate() * share * REACHED) + PER_STEP * len(steps) / slots
    return f"roughly {duration(seconds)} on this machine"


def matrix_rate(size: int = 1024, repeats: int = 5) -> float:
    """Floating-point operations a second of a float32 matrix product on all cores: the best of a
    few short products.
    """
    left = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
