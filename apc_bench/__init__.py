"""apc-bench: honest, resumable benchmarks of industrial visual anomaly detection with few anomalous
samples.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apc_bench.interface import (
        Execution,
        Facts,
        Maps,
        OpenedRun,
        ShownTable,
        job,
        open_run,
        sweep,
    )

__all__ = ["Execution", "Facts", "Maps", "OpenedRun", "ShownTable", "job", "open_run", "sweep"]

__version__ = "0.1.0"

RESULT_VERSION = 3
"""Raised whenever the same step would give other scores: it is part of every `result_key`
(docs/architecture.md, "Two steps, two ids").
"""

# Read by torch when it first allocates: large tensors on huge pages, a seventh of the page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def __getattr__(name: str) -> Any:
    """Of the Python interface, which loads polars, matplotlib and more, only what is asked for."""
    if name in __all__:
        return getattr(import_module("apc_bench.interface"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
