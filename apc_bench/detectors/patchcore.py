"""PatchCore (docs/method.md section 2): a memory bank of normal patch features, and the distance to
it.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.bank.memory_bank import MemoryBank, reweight
from apc_bench.detectors.features import BATCH, FeatureSource
from apc_bench.detectors.protocol import Fitted, Images, Scored, Timings, Trained, Training
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.detectors import PatchCoreSettings
from apc_bench.settings.sweep import Method


class PatchCore:
    """PatchCore on frozen weights; as a base, on any extractor."""

    settings: PatchCoreSettings

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, PatchCoreSettings)
        self.settings = method.settings
        self.sha256 = sha256
        self.backbone, self.messages = load_backbone(method.backbone, weights)
        for layer in self.settings.layers:
            self.backbone.require(layer)

    def train(self, data: Training) -> Trained:
        raise NotImplementedError("PatchCore has nothing to train")

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Builds the memory bank from `data.normal`."""
        return self._fit(data, self.backbone, remembered=self.sha256)

    def _fit(
        self,
        data: Training,
        backbone: Backbone,
        *,
        remembered: str | None,
        among: Images | None = None,
    ) -> "FittedPatchCore":
        """`among`: all normal images, where `data.normal` are some of them only."""
        source = FeatureSource(
            backbone, self.settings, device=data.device, memo=data.memo, remembered=remembered
        )
        bank, timings = build_bank(
            source, data.normal, self.settings, seed=data.seed, among=among or data.normal
        )
        return FittedPatchCore(source, bank, self.settings, data, timings, tuple(self.messages))


def build_bank(
    source: FeatureSource, images: Images, settings: PatchCoreSettings, *, seed: int, among: Images
) -> tuple[MemoryBank, Timings]:
    """Patch features of all images, at most `patches_max` of them at random, thinned by the greedy
    coreset to ratio or `bank_max`.

    The bank names an image by its position among `among`.
    """
    patches, kept = _kept_patches(source, images, settings.patches_max, seed=seed)
    started = time.perf_counter()
    count = min(
        max(1, int(len(patches) * settings.coreset_ratio)), settings.bank_max or len(patches)
    )
    chosen = greedy_coreset(
        patches,
        count,
        projection_dim=settings.projection_dim,
        starting_points=settings.starting_points,
        seed=seed,
    )
    vectors = patches[chosen].contiguous()
    origin = kept[chosen.cpu()]
    rows, columns = source.grid
    numbers = {name: number for number, name in enumerate(sorted(set(images.groups)))}
    image = origin // (rows * columns)
    group = torch.tensor([numbers[name] for name in images.groups], dtype=torch.int32)[image]
    patch = origin % (rows * columns)
    positions = {int(row): position for position, row in enumerate(among.rows)}
    places = torch.tensor([positions[int(row)] for row in images.rows], dtype=torch.int32)
    bank = MemoryBank(
        vectors,
        places[image],
        (patch // columns).short(),
        (patch % columns).short(),
        group.to(vectors.device),
    )
    return bank, Timings(source.seconds, time.perf_counter() - started)


def _kept_patches(
    source: FeatureSource, images: Images, most: int | None, *, seed: int
) -> tuple[Tensor, Tensor]:
    """(patches, dimension) of all images, or `most` of them at random, and their numbers,
    ascending. Filled batch by batch: what is not kept is never held, and joining a list would hold
    everything twice.
    """
    patches, kept = torch.empty(0), torch.empty(0, dtype=torch.int64)
    done = 0
    for part in images.batches(BATCH):
        features = source(images, part)
        each, dimension = features.shape[1:]
        if not len(kept):
            total = len(images) * each
            kept = torch.arange(total)
            if most and most < total:
                kept = (
                    torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:most]
                    .sort()
                    .values
                )
            patches = torch.empty(
                (len(kept), dimension), dtype=features.dtype, device=features.device
            )
        upto = int(torch.searchsorted(kept, part.stop * each))
        patches[done:upto] = features.flatten(0, 1)[
            (kept[done:upto] - part.start * each).to(features.device)
        ]
        done = upto
    return patches, kept


class FittedPatchCore:
    """A memory bank and the extractor that fills it: scores images by their patches' distance to
    the bank.
    """

    def __init__(
        self,
        source: FeatureSource,
        bank: MemoryBank,
        settings: PatchCoreSettings,
        data: Training,
        timings: Timings,
        notes: tuple[str, ...],
    ) -> None:
        self.source, self.bank, self.settings, self.data, self.timings, self.notes = (
            source,
            bank,
            settings,
            data,
            timings,
            notes,
        )
        self.unit = "squared distance" if settings.distance == "squared" else "distance"
        self.sigma = settings.sigma

    def score(self, images: Images) -> Scored:
        """Scores by the distance of each patch to its nearest bank vector; the image score is the
        largest, before any smoothing.
        """
        return Scored.join(
            [self._score(self.source(images, part), exclude=None) for part in images.batches(BATCH)]
        )

    def calibrate(self) -> tuple[Images, Scored]:
        """Held-out images against the bank; without them, each training image against the bank less
        the rows of its own group.
        """
        if self.data.calibration is not None:
            return self.data.calibration, self.score(self.data.calibration)
        images = self.data.normal
        numbers = {name: number for number, name in enumerate(sorted(set(images.groups)))}
        several = len(numbers) > 1  # a bank of a single group has nothing else to compare with
        parts = []
        for position, group in enumerate(images.groups if several else ()):
            parts.append(
                self._score(
                    self.source(images, slice(position, position + 1)), exclude=numbers[group]
                )
            )
        kept = images if parts else Images(images.array, images.rows[:0], (), ())
        return kept, Scored.join(parts) if parts else _nothing(self.source.grid)

    def _score(self, features: Tensor, *, exclude: int | None) -> Scored:
        """features (n, patches, dimension) -> scores; `exclude`: the group whose bank rows are left
        out.
        """
        count, patches, _ = features.shape
        flat = features.flatten(0, 1)
        found = self.bank.nearest(flat, exclude_group=exclude)
        squared, index = (
            found.distance[:, 0].reshape(count, patches),
            found.index[:, 0].reshape(count, patches),
        )
        values = squared if self.settings.distance == "squared" else squared.sqrt()
        worst = values.argmax(dim=1)
        each = torch.arange(count, device=values.device)
        scores, nearest, distance = values[each, worst], index[each, worst], squared[each, worst]
        if self.settings.reweight_neighbours:
            around = self.settings.reweight_neighbours
            scores = reweight(
                scores,
                features[each, worst],
                nearest,
                self.bank,
                neighbours=around,
                exclude_group=exclude,
            )
        rows, columns = self.source.grid
        place = torch.stack([worst // columns, worst % columns], dim=1)
        return Scored(
            values.reshape(count, rows, columns).cpu().numpy(),
            scores.cpu().numpy(),
            place.cpu().numpy(),
            nearest.cpu().numpy(),
            distance.cpu().numpy(),
        )


def _nothing(grid: tuple[int, int]) -> Scored:
    empty = np.zeros(0, np.float32)
    return Scored(
        np.zeros((0, *grid), np.float32),
        empty,
        np.zeros((0, 2), np.int64),
        np.zeros(0, np.int64),
        empty,
    )
