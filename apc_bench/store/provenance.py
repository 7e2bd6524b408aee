"""Where a result comes from: what computes (part of every result key) and what is only recorded.
Imports neither torch nor ray.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from apc_bench import RESULT_VERSION, __version__
from apc_bench.files.machine import usable_machine
from apc_bench.plugins import version_of

COMPUTES = ("torch", "torchvision", "numpy", "scipy", "pillow")
RECORDED = ("ray", "pyarrow", "polars")
REVISION = "APC_BENCH_REVISION"
"""The variable that carries the revision of a checkout to where its copy runs."""
BUILT_FROM = "_revision.json"
"""The file of a wheel that says which revision it was built from (hatch_build.py writes it)."""

_INSTRUCTION_SETS = ("avx512f", "avx512_bf16", "avx2", "fma", "asimd", "sve")
_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
"""Variables that keep torch from using all that a processor has."""


def computing_environment(*, device: str, threads: int, precision: str) -> dict[str, str]:
    """What decides bits: versions, device class, threads, precision, result version
    (docs/architecture.md, "Two steps, two ids").
    """
    return {
        "result_version": str(RESULT_VERSION),
        "device": device_class(device),
        "threads": str(threads),
        "precision": precision,
        **{name: version_of(name) for name in COMPUTES},
    }


def recorded_environment() -> dict[str, Any]:
    """What is only recorded in run.json: this package, Python, the machine, the revision of the
    code.
    """
    return {
        "apc_bench": __version__,
        "python": platform.python_version(),
        **{name: version_of(name) for name in RECORDED},
        "hostname": socket.gethostname(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable": usable_machine(),
        "gpus": list(gpu_names()),
        "git": git_revision(),
        "command": sys.argv,
    }


def device_class(device: str) -> str:
    """`cpu/avx512f+…` or `cuda/NVIDIA H200`: machines of one class give the same bits, others may
    not.
    """
    if device == "cuda":
        names = sorted(set(gpu_names()))
        return "cuda/" + ("+".join(names) or "unknown")
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if name in os.environ]
    return "/".join(["cpu", "+".join(_instruction_sets()) or platform.machine(), *limits])


def is_faster_in_bfloat16(device: str) -> bool:
    """Whether `device` trains faster in bfloat16: a GPU, and a processor that has instructions for
    it, unless a variable forbids them. Elsewhere bfloat16 is slower than float32.
    """
    if device == "cuda":
        return True
    return "avx512_bf16" in _instruction_sets() and not any(name in os.environ for name in _LIMITS)


@cache
def gpu_names() -> tuple[str, ...]:
    """The GPUs that this process may use, asked from the driver's own tool so that torch need not
    be loaded.

    None where CUDA_VISIBLE_DEVICES hides them all, where there is no such tool, or where it does
    not answer within a minute.
    """
    if (
        os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
        or shutil.which("nvidia-smi") is None
    ):
        return ()
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if answer.returncode:
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def git_revision() -> dict[str, Any] | None:
    """Commit and dirtiness of the checkout that this package runs from, or that a Ray job was
    packed from, or that its wheel was built from; None where nothing says so.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists() or shutil.which("git") is None:
        built = Path(__file__).resolve().parents[1] / BUILT_FROM
        packed: dict[str, Any] | None = json.loads(
            os.environ.get(REVISION) or (built.read_text() if built.is_file() else "null")
        )
        return packed
    commit, status = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None else {"commit": commit, "dirty": bool(status)}


def version_line() -> str:
    """`0.1.0, revision 00cd8ac with changes`: of this package."""
    revision = git_revision()
    if revision is None:
        return f"{__version__}, of no known revision"
    changes = " with changes" if revision["dirty"] else ""
    return f"{__version__}, revision {revision['commit'][:12]}{changes}"


def _git(folder: Path, *words: str) -> str | None:
    """What git prints of a checkout; None where it refuses."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
    )
    return None if done.returncode else done.stdout.strip()


@cache
def _cpu_line(*names: str) -> str | None:
    """What Linux says of the processor under the first of these names that it uses."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        if line.startswith(names):
            return line.partition(":")[2].strip()
    return None


def _instruction_sets() -> list[str]:
    flags = (_cpu_line("flags", "Features") or "").split()
    return [name for name in _INSTRUCTION_SETS if name in flags]


def _processor() -> str:
    return _cpu_line("model name") or platform.processor()
