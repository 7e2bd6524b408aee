"""Changed views of images: moved and recoloured at random, as a training sees them."""

from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from apc_bench.datasets.hold_out import HELD_OUT_MIN
from apc_bench.detectors.protocol import Images, Training
from apc_bench.networks.augment import augment, draw
from apc_bench.settings.base import BatchSettings


def changed_views(
    images: Images, masks: Tensor, settings: BatchSettings, generator: Generator
) -> tuple[Images, Tensor]:
    """Each image (n, 3, s, s) and mask (n, s, s) once more, changed as the settings say."""
    pixels = torch.from_numpy(images.pixels()).float()
    draws = draw(len(images), settings, generator)
    moved, moved_masks = augment(pixels, masks.float(), draws)
    array = moved.round().clamp(0, 255).to(torch.uint8).numpy()
    rows = np.arange(len(array))
    return Images(array, rows, images.names, images.groups, made=True), moved_masks


def stand_ins(data: Training, settings: BatchSettings) -> Images:
    """In the place of held-out normal images, where there are none: HELD_OUT_MIN changed views of
    the normal images, in turn and in a random order. Of no group, so that a memory bank compares
    them with all that it holds.
    """
    generator = Generator().manual_seed(data.seed)
    order = torch.randperm(len(data.normal), generator=generator).numpy()
    images = data.normal.at(np.resize(order, HELD_OUT_MIN))
    masks = torch.zeros(len(images), *images.array.shape[2:])
    views, _ = changed_views(images, masks, settings, generator)
    return replace(views, groups=("",) * len(views))
