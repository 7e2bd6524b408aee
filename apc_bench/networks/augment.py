"""Light augmentation of a whole batch on its device: colour jitter, small shift and rotation, flips
only on request (docs/method.md section 3).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from apc_bench.settings.base import BatchSettings


class Draws(NamedTuple):
    """How n images are changed. factors (n, 5): brightness, contrast and a balance for each
    channel, or (n, 0): none; matrices (n, 2, 3): for affine_grid, in its units (the image spans -1
    to 1), or (n, 0, 3): none.
    """

    factors: Tensor
    matrices: Tensor


def draw(
    count: int, settings: BatchSettings, generator: torch.Generator, *, moved: bool = False
) -> Draws:
    """Random changes for `count` images, from a CPU generator, so that they do not depend on the
    device. `moved`: with matrices in any case.
    """
    factors, matrices = torch.ones(count, 0), torch.zeros(count, 0, 3)
    if settings.jitter:
        factors = 1 + settings.jitter * _uniform((count, 5), generator)
    if settings.shift or settings.rotation or settings.flip or settings.scale or moved:
        matrices = _affine(count, settings, generator)
    return Draws(factors, matrices)


def augment(
    images: Tensor, masks: Tensor, draws: Draws, *, side: int | None = None
) -> tuple[Tensor, Tensor]:
    """images (n, 3, h, w) float32 in 0..255 and masks (n, h, w) float32 in {0, 1} of one device ->
    the same, moved and recoloured alike; of `side` × `side` pixels where they are cropped.
    """
    if draws.factors.shape[1]:
        images = _recoloured(images, draws.factors)
    if not draws.matrices.shape[1]:
        return images, masks
    size = [*images.shape[:2], side or images.shape[2], side or images.shape[3]]
    grid = F.affine_grid(draws.matrices, size, align_corners=False)
    images = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    # A defect that a shift mirrors in at the border is one in the picture too, so masks are padded
    # as images are.
    masks = F.grid_sample(
        masks[:, None], grid, mode="nearest", padding_mode="reflection", align_corners=False
    )[:, 0]
    return images, masks


def _recoloured(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness and contrast per image, balance per channel: a third as strong."""
    brightness, contrast, balance = factors[:, 0], factors[:, 1], 1 + (factors[:, 2:] - 1) / 3
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gain = (brightness[:, None] * balance)[:, :, None, None]
    recoloured = ((images - mean) * contrast[:, None, None, None] + mean) * gain
    return recoloured.clamp_(0, 255)


def _affine(count: int, settings: BatchSettings, generator: torch.Generator) -> Tensor:
    draws = _uniform((count, 3), generator)
    angle = draws[:, 0] * settings.rotation * math.pi / 180
    shift = draws[:, 1:] * settings.shift * 2
    sign = torch.ones(count, 2)
    if settings.flip:
        sign = torch.where(_uniform((count, 2), generator) < 0, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([cos * sign[:, 0], -sin * sign[:, 1], shift[:, 0]], 1),
        torch.stack([sin * sign[:, 0], cos * sign[:, 1], shift[:, 1]], 1),
    ]
    matrices = torch.stack(rows, dim=1)
    if settings.scale:
        matrices[:, :, :2] *= (1 + settings.scale) ** _uniform((count, 1, 1), generator)
    return matrices


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform in -1 to 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
