"""What a sweep costs beside its steps: planning, the executor, Ray's start, the command line."""

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench.figure import Figure, fastest
from bench.many_trials import STEPS_PER_SEED, planned, write_dataset
from bench.reports import timed

from apc_bench.plan import TRIAL, Step
from apc_bench.runner.executors import ray
from apc_bench.runner.executors.protocol import Hooks, Resources
from apc_bench.runner.messages import Outcome
from apc_bench.settings.sweep import Method

WORKERS = os.cpu_count() or 1
STEPS, SECONDS = 100, 2.0
NOTHING = 1_000
DRY = 10_000


def figures() -> list[Figure]:
    """A sweep of 100 busy steps through Ray, a thousand steps of no work, `--dry-run` of 10,000
    steps, and `--help`.
    """
    busy, start = through_ray(STEPS, SECONDS)
    few, many = _no_work(NOTHING), _no_work(10 * NOTHING)
    share = busy / (STEPS * SECONDS / WORKERS)
    dry, steps = _dry_run()
    help_, _ = fastest(lambda: timed([sys.executable, "-m", "apc_bench", "--help"]))
    return [
        Figure(
            what=(
                f"{STEPS} steps of {SECONDS:g} s through Ray, start-up apart: wall time over"
                " compute / workers"
            ),
            value=share,
            unit="×",
            at_most=1.15,
            how=(
                f"{busy:.1f} s with {WORKERS} workers; every step counts its matrix products for"
                f" {SECONDS:g} s"
            ),
        ),
        Figure(
            what="Ray's start until the first step is at work, torch not loaded",
            value=start,
            unit="s",
        ),
        *(
            Figure(
                what=f"{count:,} steps of no work through Ray: each",
                value=1000 * seconds / count,
                unit="ms",
                how=(
                    f"{seconds:.1f} s; the driver's memory {memory:.0f} MiB at most, torch not"
                    " loaded"
                ),
            )
            for count, (seconds, memory) in ((NOTHING, few), (10 * NOTHING, many))
        ),
        Figure(
            what="the same: what nine times a thousand more steps add to the driver's memory",
            value=many[1] - few[1],
            unit="MiB",
            how="peak of the process",
        ),
        Figure(
            what=f"`apc-bench sweep --dry-run` of {steps:,} steps, until it measures",
            value=dry,
            unit="s",
            at_most=5,
        ),
        Figure(what="`apc-bench --help`, the whole command", value=help_, unit="s"),
    ]


def through_ray(count: int, seconds: float) -> tuple[float, float]:
    """Wall seconds from the first step's start to the last outcome, and from the call to the first
    step's start.
    """
    method = Method(backbone="builtin")
    steps = [
        Step(TRIAL, f"t{n}", f"k{n}", "bench", "part", "patchcore", 0, n, None, method, 1.0)
        for n in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        called = time.time()
        work = functools.partial(_work, seconds=seconds, folder=Path(folder))
        resources = Resources(1, {TRIAL: 0.0}, workers=WORKERS)
        hooks = Hooks(say=print, probe=lambda: None, lost=lambda step, cause: False)
        for _ in ray.run(steps, work, resources, hooks):
            ended = time.time()
        begun = min(float(path.read_text()) for path in Path(folder).iterdir())
    return ended - begun, begun - called


def _no_work(count: int) -> tuple[float, float]:
    """Wall seconds of so many steps that do nothing, and the peak memory of their driver in MiB, in
    a process of its own.
    """
    asked = (
        f"from bench.overhead import through_ray, peak; print(through_ray({count}, 0.0)[0], peak(),"
        " flush=True); import os; os._exit(0)"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    ).stdout
    seconds, memory = told.split()[-2:]
    return float(seconds), float(memory)


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(step: Step, seconds: float, folder: Path) -> Outcome:
    """Multiplies matrices for some seconds of wall time."""
    started = time.perf_counter()
    if step.seed < WORKERS:
        (folder / step.result_key).write_text(repr(time.time()))
    left = np.ones((256, 256), np.float32)
    while time.perf_counter() - started < seconds:
        left @ left
    return Outcome(True, time.perf_counter() - started)


def _dry_run() -> tuple[float, int]:
    """From the command to where it begins to measure, on a dataset of MVTec AD's size whose hashes
    are known.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, cache = write_dataset(Path(folder) / "data"), Path(folder) / "cache"
        seeds = -(-DRY // STEPS_PER_SEED)
        steps = len(planned(data, cache, seeds).steps)
        chosen = [
            "--job",
            "paper",
            "--seeds",
            ",".join(map(str, range(seeds))),
            "--device",
            "cpu",
            "--dry-run",
        ]
        command = [
            sys.executable,
            "-m",
            "apc_bench",
            "sweep",
            "--data",
            str(data),
            "--cache",
            str(cache),
            *chosen,
        ]
        return min(_until_it_measures(command) for _ in range(3)), steps


def _until_it_measures(command: list[str]) -> float:
    """Seconds until all steps are printed; the command is ended there."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("measuring"):
                process.kill()
                return time.perf_counter() - started
    raise RuntimeError(f"{' '.join(command)} did not begin to measure")
