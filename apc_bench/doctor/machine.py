"""What the machine has: cores, memory, instructions, GPUs, and what is set in the environment."""

import os

from apc_bench.doctor.fact import Fact
from apc_bench.files.machine import GIB, usable_cores, usable_memory
from apc_bench.runner.executors.ray_place import STEP_MEMORY
from apc_bench.store.provenance import device_class, gpu_names, recorded_environment

VARIABLES = (
    "APC_BENCH_CACHE",
    "APC_BENCH_CACHE_LIMIT",
    "APC_BENCH_DATA",
    "TMPDIR",
    "RAY_TMPDIR",
    "RAY_ADDRESS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "HF_HUB_OFFLINE",
)
"""What decides how a sweep runs; nothing that may be secret."""


def system() -> Fact:
    """Operating system and processor."""
    recorded = recorded_environment()
    value = {name: recorded[name] for name in ("platform", "processor")}
    return Fact("system", f"{value['platform']}, {value['processor']}", value)


def processors() -> Fact:
    """Cores, memory and instruction sets; faulty where memory does not suffice for one step."""
    usable = recorded_environment()["usable"]
    kind = device_class("cpu")
    faults = []
    memory = usable_memory()
    if memory.amount < STEP_MEMORY:
        faults.append(
            f"{memory.amount / GIB:.1f} GiB of memory may be used here"
            f"{f' ({memory.limit})' if memory.limit else ''}, and the smallest step takes"
            f" {STEP_MEMORY / GIB:.0f} GiB: give this process more"
        )
    value = {**usable, "usable_cores": usable_cores().amount, "instructions": kind}
    text = f"{usable['cores']}; {usable['memory']} of memory; {kind}"
    return Fact("processor", text, value, tuple(faults))


def threads() -> Fact:
    """What torch would take by itself; every step of a sweep sets its own (--threads)."""
    import torch

    value = {
        "torch": torch.get_num_threads(),
        "torch_instructions": torch.backends.cpu.get_cpu_capability(),
    }
    text = (
        f"1 a step unless --threads says otherwise; torch by itself {value['torch']}, with"
        f" {value['torch_instructions']}"
    )
    return Fact("threads", text, value)


def gpus() -> Fact:
    """The GPUs that the driver and torch see; faulty where they differ, since a sweep would take
    one and fail.
    """
    import torch

    names, usable = list(gpu_names()), torch.cuda.is_available()
    seen = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    value = {"driver": names, "torch": seen if usable else [], "cuda": torch.version.cuda}
    build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is"
    build += "" if torch.version.cuda else " built for processors alone"
    if names and not usable:
        fault = (
            f"the driver has {', '.join(names)}, which torch cannot use ({build}): install the"
            " torch of the driver's CUDA (https://pytorch.org/get-started), or pass --device cpu"
        )
        return Fact("GPU", f"{', '.join(names)}; {build}", value, (fault,))
    text = ", ".join(seen) if usable else "none"
    return Fact("GPU", f"{text}; {build}", value)


def variables() -> Fact:
    """What is set in the environment of what decides how a sweep runs."""
    value = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    text = ", ".join(f"{name}={setting}" for name, setting in value.items()) or "nothing is set"
    return Fact("environment", text, value)
