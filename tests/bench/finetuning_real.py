"""Fine-tuning of ResNet-50 on real images at 224 px: float32 against bfloat16, by turns."""

import statistics
import time

import numpy as np
import torch
from bench import inputs
from bench.figure import Figure

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.networks.batches import TrainingTensors
from apc_bench.networks.finetune import finetune
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.detectors import ApcSettings
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded
from apc_bench.store.provenance import is_faster_in_bfloat16

CATEGORY, BACKBONE = "pill", "resnet50"
STEPS, ROUNDS, DRAWN, NORMAL = 2, 3, 10, 100


def figures() -> list[Figure]:
    """The ratio of a step on whole images, which the goal is for, and on the crops of the default;
    nothing where the processor has no instructions for bfloat16.
    """
    if not is_faster_in_bfloat16("cpu"):
        return []
    torch.set_num_threads(inputs.THREADS)
    tensors = _examples()
    found = []
    kinds: list[tuple[str, ApcSettings, float | None]] = [
        ("whole images", ApcSettings(steps=STEPS, crop=None), 2.5),
        ("crops, the default", ApcSettings(steps=STEPS), None),
    ]
    for kind, settings, goal in kinds:
        taken: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for bfloat16, seconds in taken.items():
                seconds.append(_step(tensors, settings, bfloat16=bfloat16))
        pairs = zip(taken[False], taken[True], strict=True)
        found.append(
            Figure(
                what=f"fine-tuning of ResNet-50 at {inputs.REAL_SIZE} px, batch {settings.batch},"
                f" {kind}: float32's time over bfloat16's",
                value=statistics.median(float32 / bfloat16 for float32, bfloat16 in pairs),
                unit="×",
                at_least=goal,
                how=f"median of {ROUNDS} pairs of {STEPS} steps; at best {min(taken[False]):.2f} s"
                f" against {min(taken[True]):.2f} s a step",
            )
        )
    return found


def _examples() -> TrainingTensors:
    category = read_dataset(inputs.SHARED / "data" / "mvtec_ad", categories=[CATEGORY]).categories[
        0
    ]
    geometry = Geometry(inputs.REAL_SIZE, "crop", "bilinear")
    cache = Cache(inputs.folder() / "real")
    found = decoded(cache, category, category.name, geometry)
    normal = [row for row, sample in enumerate(category.samples) if sample.training][:NORMAL]
    drawn = [row for row, sample in enumerate(category.samples) if sample.anomalous][:DRAWN]

    def tensor(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(images))

    images = [tensor(found.images[rows]) for rows in (normal, drawn)]
    masks = tensor(found.masks[drawn])
    return TrainingTensors(*images, masks, torch.ones(len(drawn), dtype=torch.bool))


def _step(tensors: TrainingTensors, settings: ApcSettings, *, bfloat16: bool) -> float:
    """Seconds of a step, from a fresh network on."""
    network = load_backbone(BACKBONE, inputs.REAL_WEIGHTS[BACKBONE])[0].eval()
    started = time.perf_counter()
    finetune(network, tensors, settings, seed=0, mixed_precision=bfloat16)
    return (time.perf_counter() - started) / settings.steps
