"""Which images a fine-tuning sees and how each is changed, drawn beforehand; and the batches made
of them, on the device.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from apc_bench.networks.augment import Draws, augment, draw
from apc_bench.networks.backbones import IMAGENET, Statistics, normalise
from apc_bench.networks.crops import Crops
from apc_bench.settings.base import BatchSettings
from apc_bench.settings.detectors import ApcSettings

LEAST_PIXELS = 4
"""Anomalous pixels from which on a crop counts as anomalous."""


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
    """images (n, 3, c, c) float32 normalised, channels last; masks (n, c, c) float32, 1 anomalous;
    anomalous (n,) bool; masked (n,) bool: whether the image's mask is known (true for normal
    images, whose mask is empty).
    """

    images: Tensor
    masks: Tensor
    anomalous: Tensor
    masked: Tensor


def anomalous_in_batch(settings: BatchSettings) -> int:
    """How many images of a batch are anomalous: their share, at least one, and never all."""
    wanted = round(settings.batch * settings.anomalous_share)
    return min(max(1, wanted), settings.batch - 1)


def draw_choices(tensors: TrainingTensors, settings: ApcSettings, *, seed: int) -> Choice:
    """The choices of all `settings.steps` batches, on the device of `tensors`; drawn on the CPU, so
    that they do not depend on it.
    """
    generator = torch.Generator().manual_seed(seed)
    few = anomalous_in_batch(settings)
    from_anomalous = _endless(len(tensors.anomalous), few, generator)
    from_normal = _endless(len(tensors.normal), settings.batch - few, generator)
    crops = Crops(tensors.masks.cpu(), tensors.masked.cpu(), settings) if settings.crop else None
    choices = []
    for _ in range(settings.steps):
        rows = next(from_anomalous), next(from_normal)
        draws = draw(settings.batch, settings, generator, moved=crops is not None)
        if crops is not None:
            draws = crops.place(rows[0], draws, generator)
        choices.append(Choice(*rows, *draws))
    device = tensors.normal.device
    return Choice(*(torch.stack(parts).to(device) for parts in zip(*choices, strict=True)))


def make_batch(
    tensors: TrainingTensors, choice: Choice, side: int, statistics: Statistics = IMAGENET
) -> Batch:
    """The batch of a choice, drawn images first, in crops of `side` pixels where that is less than
    their size; `statistics`: of the network's images. Copies nothing from or to the device.
    """
    few, many = len(choice.anomalous), len(choice.normal)
    device = tensors.normal.device
    images = torch.cat([tensors.anomalous[choice.anomalous], tensors.normal[choice.normal]])
    empty = torch.zeros((many, *tensors.masks.shape[1:]), device=device)
    masks = torch.cat([tensors.masks[choice.anomalous].float(), empty])
    known = torch.ones(many, dtype=torch.bool, device=device)
    masked = torch.cat([tensors.masked[choice.anomalous], known])
    images, masks = augment(
        images.float(), masks, Draws(choice.factors, choice.matrices), side=side
    )
    images = normalise(images, statistics).contiguous(memory_format=torch.channels_last)
    anomalous = torch.arange(few + many, device=device) < few
    if side < tensors.masks.shape[-1]:
        # A crop of a drawn image that misses the anomaly shows a normal part.
        anomalous &= ~masked | (masks.flatten(1).sum(1) >= LEAST_PIXELS)
    return Batch(images, masks, anomalous, masked)


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
