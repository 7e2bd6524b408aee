"""Which images a fine-tuning sees and how each is changed, drawn beforehand; and the batches made
of them, on the device.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from apc_bench.networks.augment import Draws, augment, draw
from apc_bench.networks.backbones import normalise
from apc_bench.settings.detectors import BatchSettings


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTensors:
    """What an extractor is fine-tuned on, already on its device.

    normal (n, 3, s, s) uint8; anomalous (k, 3, s, s) uint8; masks (k, s, s) bool; masked (k,) bool:
    whether an anomalous image's mask is known.
    """

    normal: Tensor
    anomalous: Tensor
    masks: Tensor
    masked: Tensor


class Choice(NamedTuple):
    """The random choices of one batch, or with one more dimension in front of all: rows of
    anomalous and normal images (int64), changes.
    """

    anomalous: Tensor
    normal: Tensor
    factors: Tensor
    matrices: Tensor


class Batch(NamedTuple):
    """images (n, 3, s, s) normalised, channels last; masks (n, s, s) float, 1 anomalous; anomalous
    (n,) and masked (n,) bool: which masks are known.
    """

    images: Tensor
    masks: Tensor
    anomalous: Tensor
    masked: Tensor


def draw_choices(tensors: TrainingTensors, settings: BatchSettings, *, seed: int) -> Choice:
    """The choices of all `settings.steps` batches, on the device of `tensors`; drawn on the CPU, so
    that they do not depend on it.
    """
    generator = torch.Generator().manual_seed(seed)
    few = min(max(1, round(settings.batch * settings.anomalous_share)), settings.batch - 1)
    from_anomalous = _endless(len(tensors.anomalous), few, generator)
    from_normal = _endless(len(tensors.normal), settings.batch - few, generator)
    drawn = [
        Choice(next(from_anomalous), next(from_normal), *draw(settings.batch, settings, generator))
        for _ in range(settings.steps)
    ]
    return Choice(
        *(torch.stack(parts).to(tensors.normal.device) for parts in zip(*drawn, strict=True))
    )


def make_batch(tensors: TrainingTensors, choice: Choice) -> Batch:
    """The batch of a choice: anomalous images first. Copies nothing from or to the device."""
    few, many = len(choice.anomalous), len(choice.normal)
    device = tensors.normal.device
    images = torch.cat([tensors.anomalous[choice.anomalous], tensors.normal[choice.normal]]).float()
    empty = torch.zeros((many, *tensors.masks.shape[1:]), device=device)
    masks = torch.cat([tensors.masks[choice.anomalous].float(), empty])
    masked = torch.cat(
        [tensors.masked[choice.anomalous], torch.ones(many, dtype=torch.bool, device=device)]
    )
    images, masks = augment(images, masks, Draws(choice.factors, choice.matrices))
    anomalous = torch.arange(few + many, device=device) < few
    return Batch(
        normalise(images).contiguous(memory_format=torch.channels_last), masks, anomalous, masked
    )


def _endless(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of one random order after another, `size` at a time: every image is seen equally
    often.
    """
    queue = torch.empty(0, dtype=torch.int64)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        yield queue[:size]
        queue = queue[size:]
