"""Fine-tuning against a bare PyTorch loop on preloaded tensors, and how much of it is not
arithmetic.
"""

import math
import statistics
import time

import torch
from bench import inputs
from bench.figure import Figure, exponent

from apc_bench.networks import finetune as product
from apc_bench.networks.backbones import normalise
from apc_bench.networks.batches import Batch, Choice, TrainingTensors, draw_choices, make_batch
from apc_bench.networks.losses import task_losses, total_loss
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import ApcSettings

SIZE, STEPS, ROUNDS = 128, 8, 5
GROWTH = (4, 8, 16)


def figures() -> list[Figure]:
    """The ratio to the bare loop in turns, the share of batches and augmentation, and growth with
    steps.
    """
    torch.set_num_threads(inputs.THREADS)
    tensors, settings = _examples(), ApcSettings(steps=STEPS, crop=None)
    ratios, ours, bare = [], [], []
    _bare(tensors, settings)
    for _ in range(ROUNDS):
        bare.append(_bare(tensors, settings))
        ours.append(_ours(tensors, settings))
        ratios.append(ours[-1] / bare[-1])
    data = _data(tensors, settings)
    growth = [_ours(tensors, ApcSettings(steps=steps, crop=None)) for steps in GROWTH]
    size = f"fine-tuning of ResNet-18 at {SIZE} px, batch {settings.batch}, {STEPS} steps"
    how = f"median of {ROUNDS} pairs; {min(ours):.2f} s against {min(bare):.2f} s"
    return [
        Figure(
            what=f"{size}: times a bare loop on one preloaded batch",
            value=statistics.median(ratios),
            unit="×",
            at_most=1.03,
            how=how,
        ),
        Figure(
            what=f"{size}: share of batches and augmentation",
            value=100 * data / min(ours),
            unit="%",
            at_most=5,
            how=f"{1000 * data:.0f} ms",
        ),
        Figure(
            what="fine-tuning: exponent in the number of steps",
            value=exponent(GROWTH, growth),
            unit="",
        ),
    ]


def _examples() -> TrainingTensors:
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)

    masks = torch.zeros(10, SIZE, SIZE, dtype=torch.bool)
    masks[:, 32:64, 32:64] = True
    return TrainingTensors(images(200), images(10), masks, torch.ones(10, dtype=torch.bool))


def _ours(tensors: TrainingTensors, settings: ApcSettings) -> float:
    backbone = inputs.backbone()
    started = time.perf_counter()
    product.finetune(backbone, tensors, settings, seed=0, mixed_precision=False)
    return time.perf_counter() - started


def _bare(tensors: TrainingTensors, settings: ApcSettings) -> float:
    """The same network, losses and optimiser on one batch that is ready: the arithmetic alone."""
    backbone = inputs.backbone()
    started = time.perf_counter()
    network = UNet(backbone).to(memory_format=torch.channels_last).train()
    product._freeze_batch_norm(backbone)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    )
    half = settings.batch // 2
    raw = torch.cat([tensors.anomalous[:half], tensors.normal[:half]])
    images = normalise(raw).contiguous(memory_format=torch.channels_last)
    masks = torch.cat([tensors.masks[:half].float(), torch.zeros(half, SIZE, SIZE)])
    anomalous = torch.arange(settings.batch) < half
    batch = Batch(images, masks, anomalous, torch.ones(settings.batch, dtype=torch.bool))
    for _ in range(settings.steps):
        loss = total_loss(task_losses(network(images), batch, settings, 20.0), settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return time.perf_counter() - started


def _data(tensors: TrainingTensors, settings: ApcSettings) -> float:
    """Seconds of the batches alone: indexing, augmentation, normalisation. (Images are decoded once
    per category, before the sweep.)
    """
    started = time.perf_counter()
    choices = draw_choices(tensors, settings, seed=0)
    for step in range(settings.steps):
        make_batch(tensors, Choice(*(part[step] for part in choices)), SIZE)
    return time.perf_counter() - started
