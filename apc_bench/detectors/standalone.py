"""PatchCore and APC as one module of plain tensors, for torch.export: pixels in, scores and maps
out. docs/method.md section 2 in float32, with the nearest distances in float64 as in the search.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.bank.patches import patch_features
from apc_bench.networks.backbones import Backbone
from apc_bench.settings.detectors import PatchCoreSettings

BANK_ROWS = 16384
"""Bank vectors that are ranked at a time: bounds the memory of a product."""

CANDIDATES = 8
"""Vectors that rank first in float32, of which float64 finds the nearest."""


class Standalone(nn.Module):
    """A backbone, a memory bank, and all that is between pixels and a score."""

    mean: Tensor
    std: Tensor
    bank: Tensor
    centre: Tensor
    squares: Tensor
    support: Tensor
    down: Tensor
    across: Tensor

    def __init__(
        self,
        backbone: Backbone,
        settings: PatchCoreSettings,
        bank: Tensor,
        *,
        image_size: int,
    ) -> None:
        """`bank`: (m, d) float32; all on the CPU."""
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last).eval()
        self.settings = settings
        mean, std = backbone.statistics
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.register_buffer("bank", bank)
        # From the bank's centre distances are the same, and products lose fewer digits.
        self.register_buffer("centre", bank.mean(0))
        self.register_buffer("squares", (bank - bank.mean(0)).square().sum(1))
        self.register_buffer("support", _support(bank, settings.reweight_neighbours))
        with torch.no_grad():
            pixels = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
            rows, columns = self._maps(pixels)[0].shape[-2:]
            # Its kernels are made once and remembered (bank/patches.py): here, and not while
            # torch.export traces, whose tensors have no values.
            self._features(pixels)
        self.grid = (int(rows), int(columns))
        self.register_buffer("down", _grown(self.grid[0], image_size, settings.sigma))
        self.register_buffer("across", _grown(self.grid[1], image_size, settings.sigma))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """RGB images (n, 3, s, s) uint8 -> their scores (n,) and smoothed maps (n, s, s),
        float32; larger is more anomalous.
        """
        count = images.shape[0]
        features = self._features(images)
        squared, nearest = self._nearest(features.flatten(0, 1))
        values = squared if self.settings.distance == "squared" else squared.sqrt()
        values = values.float().view(count, -1)
        scores, worst = values.max(dim=1)
        if self.support.shape[1] > 1:
            each = torch.arange(count, device=worst.device)
            patches = features[each, worst]
            scores = self._reweighted(scores, patches, nearest.view(count, -1)[each, worst])
        return scores, self.down @ values.view(count, *self.grid) @ self.across.T

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of the layers that are read."""
        pixels = (images.float() / 255 - self.mean) / self.std
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        stages = self.backbone(pixels, last=self.settings.layers[-1])
        return [stages[layer] for layer in self.settings.layers]

    def _features(self, images: Tensor) -> Tensor:
        """(n, patches, d) float32."""
        return patch_features(
            self._maps(images),
            neighbourhood=self.settings.neighbourhood,
            pretrain_dim=self.settings.pretrain_dim,
            target_dim=self.settings.target_dim,
        )

    def _nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances (q,) float64 of queries (q, d) to their nearest bank vectors, and which
        these are.
        """
        centred = queries - self.centre
        ranks, numbers = [], []
        for start in range(0, len(self.bank), BANK_ROWS):
            part = slice(start, start + BANK_ROWS)
            # The square of the query's own distance to the centre changes no order.
            rank = self.squares[part] - 2 * centred @ self.bank[part].T
            first = rank.topk(min(CANDIDATES, rank.shape[1]), dim=1, largest=False)
            ranks.append(first.values)
            numbers.append(first.indices + start)
        rank = torch.cat(ranks, dim=1)
        first = rank.topk(min(CANDIDATES, rank.shape[1]), dim=1, largest=False)
        candidates = torch.cat(numbers, dim=1).gather(1, first.indices)
        apart = queries[:, None].double() - self.bank[candidates].double()
        squared, place = apart.square().sum(2).min(dim=1)
        return squared, candidates.gather(1, place[:, None])[:, 0]

    def _reweighted(self, scores: Tensor, patches: Tensor, nearest: Tensor) -> Tensor:
        """As memory_bank.reweight, with the neighbourhoods that are known beforehand."""
        exact = patches.double()
        from_support = exact[:, None] - self.bank[self.support[nearest]].double()
        to_support = torch.linalg.vector_norm(from_support, dim=2)
        to_nearest = torch.linalg.vector_norm(exact - self.bank[nearest].double(), dim=1)
        weight = 1 - torch.exp(to_nearest - torch.logsumexp(to_support, dim=1))
        return weight.float() * scores


def _support(bank: Tensor, neighbours: int) -> Tensor:
    """The nearest bank vectors of each, itself among them, (m, k) int64; k is 0 where there is
    nothing to weigh by.
    """
    count = len(bank)
    neighbours = min(neighbours, count)
    if neighbours < 2:
        return torch.zeros(count, 0, dtype=torch.int64)
    nowhere = torch.zeros(count, dtype=torch.int16)
    whole = MemoryBank(bank, nowhere.int(), nowhere, nowhere, nowhere.int())
    return whole.nearest(bank, k=neighbours).index


def _grown(cells: int, size: int, sigma: float) -> Tensor:
    """A matrix (size, cells) float32: what the resize and the smoothing of the pixel metrics
    (metrics/evaluation.py, pixel_scores) do along one axis, for both are linear and act on each
    axis alone.
    """
    unit: NDArray[np.float32] = np.eye(cells, dtype=np.float32)
    grown = np.asarray(Image.fromarray(unit).resize((cells, size), Image.Resampling.BILINEAR))
    smooth = gaussian_filter1d(grown.astype(np.float64), sigma, axis=0) if sigma else grown
    return torch.from_numpy(smooth.astype(np.float32))
