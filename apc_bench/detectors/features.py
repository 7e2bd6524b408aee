"""Patch features of images through a backbone: computed in batches, or remembered once per category
for frozen weights.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apc_bench.bank.patches import patch_features
from apc_bench.detectors.protocol import Images, Memo
from apc_bench.files.disk import release
from apc_bench.files.hashing import digest
from apc_bench.networks.backbones import Backbone, normalise
from apc_bench.networks.progress import Progress, untold
from apc_bench.settings.detectors import PatchCoreSettings

BATCH = 16
RELEASED_EVERY = 64
"""Batches between two releases of memory-mapped pages (store/decoded.py)."""


class FeatureSource:
    """Patch features (n, patches, dimension) float32 of images; `grid` is their (rows, columns),
    known once something was computed. `seconds`: spent so far.

    `remembered`: the key of frozen weights. Then the features of the whole category are computed
    once, in fixed batches, and kept by `memo`; where it has no room, the same batches are computed
    again, so that the numbers are the same. Of images made on the spot nothing is remembered.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: PatchCoreSettings,
        *,
        device: str,
        memo: Memo,
        remembered: str | None,
        progress: Progress = untold,
    ) -> None:
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last).eval()
        self.settings = settings
        self.device = device
        self.memo = memo
        self.progress = progress
        self.key: str | None = None
        if remembered:
            self.key = digest(
                [
                    remembered,
                    settings.layers,
                    settings.neighbourhood,
                    settings.pretrain_dim,
                    settings.target_dim,
                ]
            )
        self.seconds = 0.0
        self.grid = (0, 0)
        self._stored: NDArray[np.float32] | None = None
        self._calls = 0

    def __call__(self, images: Images, positions: slice) -> Tensor:
        """Features (n, patches, dimension) float32 of the n images at `positions`, on the device;
        patches row by row of the grid.
        """
        started = time.perf_counter()
        rows = images.rows[positions]
        if self.key is None or images.made:
            features = self._compute(images.array, rows)
        else:
            features = self._remembered(self.key, images.array, rows)
        self.seconds += time.perf_counter() - started
        self._let_go(images.array, self._stored)
        return features

    def over(self, images: Images, stage: str) -> Iterator[tuple[slice, Tensor]]:
        """Positions and features of all images, batch by batch; of each that was done with it is
        told that the step is so far in `stage`.
        """
        for part in images.batches(BATCH):
            yield part, self(images, part)
            self.progress(stage, part.stop, len(images))

    def _let_go(self, *arrays: NDArray[Any] | None) -> None:
        """Now and then, of what lies on the disk."""
        self._calls += 1
        if self._calls % RELEASED_EVERY == 0:
            for array in arrays:
                if array is not None:
                    release(array)

    def _remembered(self, key: str, array: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
        if not self.grid[0]:
            probe = self._compute(array, _block(array, 0))
            shape = (len(array), *probe.shape[1:])
            self._stored = self.memo(key, shape, lambda out: self._fill(array, out))
        if self._stored is not None:
            return torch.from_numpy(self._stored[rows]).to(self.device)
        places = [divmod(int(row), BATCH) for row in rows]
        blocks = sorted({block for block, _ in places})
        computed = {block: self._compute(array, _block(array, block)) for block in blocks}
        return torch.stack([computed[block][place] for block, place in places])

    def _fill(self, array: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        for start in range(0, len(array), BATCH):
            rows = _block(array, start // BATCH)
            computed = self._compute(array, rows)
            torch.from_numpy(out[start : start + len(rows)]).copy_(computed)
            self._let_go(array, out)
            self.progress("features of the category", start + len(rows), len(array))

    @torch.inference_mode()
    def _compute(self, array: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
        settings = self.settings
        batch = torch.from_numpy(np.ascontiguousarray(array[rows])).to(self.device)
        images = normalise(batch, self.backbone.statistics)
        images = images.contiguous(memory_format=torch.channels_last)
        stages = self.backbone(images, last=settings.layers[-1])
        maps = [stages[layer] for layer in settings.layers]
        height, width = maps[0].shape[-2:]
        self.grid = (int(height), int(width))
        return patch_features(
            maps,
            neighbourhood=settings.neighbourhood,
            pretrain_dim=settings.pretrain_dim,
            target_dim=settings.target_dim,
        )


def _block(array: NDArray[np.uint8], block: int) -> NDArray[np.int64]:
    """Rows of the array's batch of that number."""
    return np.arange(block * BATCH, min((block + 1) * BATCH, len(array)))
