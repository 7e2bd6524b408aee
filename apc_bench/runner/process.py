"""How a process becomes one that does steps: libraries loaded, and set up to give the same bits as
every other of its device class.
"""

import importlib
import os
import socket

import torch

from apc_bench.detectors.anomalib.surroundings import load_anomalib
from apc_bench.detectors.registry import detector_class
from apc_bench.errors import ResourceError
from apc_bench.settings.anomalib import ANOMALIB


def set_determinism(device: str, *, threads: int, seed: int) -> None:
    """Threads, seeds and kernels of this process (docs/architecture.md, "Storage and
    determinism"). Raises ResourceError where the device is 'cuda' and torch can use no GPU.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    if device != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if not torch.cuda.is_available():
        raise ResourceError(
            f"{socket.gethostname()} has no GPU that torch can use; pass --device cpu"
        )
    torch.use_deterministic_algorithms(True)
    # Else every new tensor costs a kernel that fills it, and no number depends on that.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.cuda.reset_peak_memory_stats()


def load_libraries(detector: str, *, trains: bool) -> None:
    """Loads what the first step of a process would else load within its time limit: a busy machine
    can take longer over that than over a small step.
    """
    detector_class(detector)
    if detector == ANOMALIB:
        load_anomalib()
    if trains:
        importlib.import_module("torch._dynamo")  # torch does so at a process's first optimizer
