"""One category of MVTec AD's size from files to metrics on a GPU, stage by stage, and what the
paper's sweep would take by it.
"""

import heapq
import io
import math
import tempfile
import time
from pathlib import Path

from bench import gpu_inputs as inputs
from bench.figure import Figure
from rich.console import Console

from apc_bench.plan import EXTRACTOR
from apc_bench.runner.driver import run_sweep
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import Prepared, prepare
from apc_bench.settings.sweep import Sweep, make_sweep
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run

CATEGORIES, SEEDS, SHOTS = 15, 5, 3
GPUS = (1, 8, 64)
STAGES = ("decode", "features", "bank", "search", "metrics")


def figures() -> list[Figure]:
    """Wall time from files to metrics, seconds of the stages, and the projection. A first seed pays
    for CUDA's start and is left out of the latter.
    """
    with tempfile.TemporaryDirectory() as folder:
        sweep, cache, run = _sweep(), Cache(Path(folder) / "cache"), Path(folder) / "run"
        inputs.category()
        started = time.perf_counter()
        prepared = prepare(sweep, inputs.category().folder.parent, cache, say=lambda line: None)
        ready = time.perf_counter() - started
        run_sweep(prepared, run, cache, Execution("serial"), Console(file=io.StringIO()))
        opened = Run.open(run)
        steps = {
            attempt.result_key: attempt.seconds
            for attempt in attempts.read_attempts(opened.attempts_folder)
            if attempt.event == "done"
        }
        rows = [row for row in opened.metrics().iter_rows(named=True) if row["subset"] == "test"]
    size = (
        f"{inputs.TRAIN} training, {inputs.GOOD + 3 * inputs.PER_TYPE} test images of"
        f" {inputs.CATEGORY[1]} px at {inputs.SIZE} px"
    )
    found: list[Figure] = [
        Figure(
            what=f"{size}: hashing, decoding and splitting, once for all trials",
            value=ready,
            unit="s",
        )
    ]
    for method in sweep.methods:
        found += _stages(prepared, steps, rows, method)
    return found + _projections(prepared, steps)


def _sweep() -> Sweep:
    methods = {
        name: {"detector": detector, "backbone": backbone, "weights": str(inputs.weights(backbone))}
        for name, detector, backbone in (
            ("apc", "apc", "resnet50"),
            ("patchcore", "patchcore", "resnet50"),
            ("patchcore-wr50", "patchcore", "wide_resnet50_2"),
        )
    }
    values = {
        "methods": methods,
        "seeds": [0, 1],
        "shots": [inputs.SHOTS],
        "reserve": inputs.SHOTS,
        "image_size": inputs.SIZE,
    }
    return make_sweep(
        {**values, "device": "cuda", "precision": "bfloat16", "threads": 4}, source="bench"
    )


def _stages(
    prepared: Prepared, steps: dict[str, float], rows: list[dict[str, object]], method: str
) -> list[Figure]:
    """A method's seconds at the second seed, fine-tuning included, and the stages that they went
    to.
    """
    own = [step for step in prepared.steps if step.method == method and step.seed == 1]
    whole = math.fsum(steps[step.result_key] for step in own)
    row = next(row for row in rows if row["method"] == method and row["seed"] == 1)
    stages = {name: float(row[f"seconds_{name}"]) for name in STAGES}  # type: ignore[arg-type]
    if row["seconds_finetune"] is not None:
        stages = {"fine-tuning": float(row["seconds_finetune"]), **stages}  # type: ignore[arg-type]
    stages["storing and the rest"] = whole - math.fsum(stages.values())
    shares = ", ".join(
        f"{name} {seconds:.2f} s ({100 * seconds / whole:.0f} %)"
        for name, seconds in stages.items()
    )
    memory = f"{row['peak_gpu_memory_mib'] / 1024:.1f} GiB on the GPU"  # type: ignore[operator]
    first = math.fsum(
        steps[step.result_key]
        for step in prepared.steps
        if step.method == method and step.seed == 0
    )
    return [
        Figure(
            what=f"{method}, one seed from images to metrics",
            value=whole,
            unit="s",
            how=f"{shares}; {memory}; the first seed took {first:.1f} s",
        )
    ]


def _projections(prepared: Prepared, steps: dict[str, float]) -> list[Figure]:
    """The paper job's steps, each as long as the measured one of its kind, on idle GPUs in the
    order of the plan.
    """
    seconds = {
        (step.kind, step.method): steps[step.result_key]
        for step in prepared.steps
        if step.seed == 1
    }
    tuned = CATEGORIES * SEEDS * SHOTS
    frozen = (
        CATEGORIES
        * SEEDS
        * (2 * [seconds["trial", "patchcore"]] + [seconds["trial", "patchcore-wr50"]])
    )
    found = []
    for gpus in GPUS:
        free = [0.0] * gpus
        heapq.heapify(free)
        ends = []
        for _ in range(tuned):
            end = heapq.heappop(free) + seconds[EXTRACTOR, "apc"] + seconds["trial", "apc"]
            heapq.heappush(free, end)
            ends.append(end)
        for trial in frozen:
            end = heapq.heappop(free) + trial
            heapq.heappush(free, end)
            ends.append(end)
        how = (
            f"{2 * tuned + len(frozen)} steps, one on a GPU at a time; projected from the steps"
            " above, start-up apart"
        )
        found.append(
            Figure(
                what=f"the paper's sweep on {gpus} GPU{'s' * (gpus > 1)}",
                value=max(ends) / 60,
                unit="min",
                how=how,
            )
        )
    return found
