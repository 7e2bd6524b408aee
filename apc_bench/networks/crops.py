"""Where a fine-tuning's crops lie: anywhere in a normal image, and in the drawn ones a share on the
anomaly, so that a network cannot know an image again (docs/method.md section 3).
"""

import torch
from torch import Generator, Tensor

from apc_bench.networks.augment import Draws
from apc_bench.settings.detectors import ApcSettings

STRIDE = 32
"""Of a ResNet's deepest stage: a crop's side is a multiple of it."""

OFF_CENTRE = 0.35
"""How far from a crop's centre the anomaly that it is laid on may lie, as a share of its side."""


def crop_side(settings: ApcSettings, size: int) -> int:
    """The side in pixels of the crops of images of `size` pixels; `size` where nothing is cropped,
    or the images are too small to be.
    """
    if settings.crop is None or size <= STRIDE:
        return size
    return min(size, max(STRIDE, STRIDE * round(settings.crop * size / STRIDE)))


class Crops:
    """Places crops. `masks` (k, s, s) bool and `masked` (k,) bool, whether a mask is known, of the
    drawn images, on the CPU.
    """

    def __init__(self, masks: Tensor, masked: Tensor, settings: ApcSettings) -> None:
        self.size = masks.shape[-1]
        self.zoom = crop_side(settings, self.size) / self.size
        self.on_defect = settings.crop_on_defect
        self.masked = masked
        self.anomalous_pixels = [torch.nonzero(mask) for mask in masks]

    def place(self, anomalous: Tensor, draws: Draws, generator: Generator) -> Draws:
        """The changes of a batch, its anomalous images (rows of the drawn ones) first, moved and
        zoomed to crops. Where an anomaly lies in an image is not known without a mask: it stays
        whole.
        """
        count = len(draws.matrices)
        room = 1 - self.zoom
        centres = room * (2 * torch.rand(count, 2, generator=generator) - 1)
        zooms = torch.full((count,), self.zoom)
        for place, row in enumerate(anomalous.tolist()):
            if not self.masked[row]:
                centres[place], zooms[place] = 0, 1
            elif float(torch.rand((), generator=generator)) < self.on_defect:
                centres[place] = self._on_defect(row, generator).clamp(-room, room)
        matrices = draws.matrices.clone()
        matrices[:, :, :2] *= zooms[:, None, None]
        matrices[:, :, 2] = centres
        return Draws(draws.factors, matrices)

    def _on_defect(self, row: int, generator: Generator) -> Tensor:
        """A centre (2,), x and y from -1 to 1, near a random anomalous pixel."""
        pixels = self.anomalous_pixels[row]
        chosen = pixels[int(torch.randint(len(pixels), (), generator=generator))]
        off = OFF_CENTRE * self.zoom * 2 * (2 * torch.rand(2, generator=generator) - 1)
        return (2 * chosen.flip(0) + 1) / self.size - 1 + off
