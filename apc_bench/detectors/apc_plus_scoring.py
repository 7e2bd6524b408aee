"""Scoring of APC+: the memory bank's map and the maps of the parts beside it, standardised on the
held-out normal images and added (detectors/fusion.py).
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.detectors.features import BATCH, FeatureSource
from apc_bench.detectors.fusion import AnomalyMaps, Fusion, Part, ZScore, fuse
from apc_bench.detectors.patchcore import FittedPatchCore
from apc_bench.detectors.protocol import Images, Scored, Timings
from apc_bench.networks.backbones import normalise
from apc_bench.networks.patch_classifier import PatchClassifier
from apc_bench.networks.unet import UNet

LOG_OFFSET = 0.1

MapsOf = Callable[[Images], AnomalyMaps]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A part beside the bank: its maps (n, rows, columns) of n images, its weights in map and image
    score, and whether it only adds (fusion.Part).
    """

    maps: MapsOf
    weight: float
    image_weight: float
    only_adds: bool


def log_distances(distances: AnomalyMaps, scale: float) -> AnomalyMaps:
    """Logarithms of distances (n, rows, columns) in units of `scale`: their spread over normal
    patches is long-tailed. The offset keeps a distance of 0 finite.
    """
    logs: AnomalyMaps = np.log(distances / np.float32(scale) + np.float32(LOG_OFFSET))
    return logs


def distance_scale(normal: Scored) -> float:
    """The mean distance of normal images that took no part: the unit in which distances enter the
    logarithm.
    """
    return max(float(normal.maps.mean()), 1e-12)


def classified(classifier: PatchClassifier, source: FeatureSource) -> MapsOf:
    """The classifier's logits of each patch of the source's grid, float32."""

    @torch.inference_mode()
    def maps(images: Images) -> AnomalyMaps:
        parts = []
        for _, features in source.over(images, "patch classifier's maps"):
            logits = classifier(features)
            parts.append(logits.reshape(-1, *source.grid).cpu().numpy())
        return _joined(parts, source)

    return maps


def segmented(network: UNet, source: FeatureSource, device: str) -> MapsOf:
    """The segmentation head's logits, averaged over each patch of the source's grid, float32."""

    @torch.inference_mode()
    def maps(images: Images) -> AnomalyMaps:
        parts = []
        for part in images.batches(BATCH):
            batch = normalise(torch.from_numpy(images.pixels(part)).to(device))
            logits = network(batch).masks.float()[:, None]
            parts.append(F.adaptive_avg_pool2d(logits, source.grid)[:, 0].cpu().numpy())
            source.progress("segmentation maps", part.stop, len(images))
        return _joined(parts, source)

    return maps


def _joined(parts: Sequence[AnomalyMaps], source: FeatureSource) -> AnomalyMaps:
    return np.concatenate(parts) if parts else np.zeros((0, *source.grid), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class FittedApcPlus:
    """The bank's map and the other parts', standardised on normal images that took no part and
    added.

    `worst` and `nearest` are the bank's: the patch farthest from what is normal, and the normal
    patch that it was compared with.
    """

    inner: FittedPatchCore
    scale: float
    evidence: Sequence[Evidence]
    notes: tuple[str, ...]
    fusion: Fusion = field(default_factory=Fusion)
    unit: str = "standard score"

    @classmethod
    def standardised(
        cls,
        inner: FittedPatchCore,
        evidence: Sequence[Evidence],
        fused_image: float,
        *,
        reference: tuple[Images, Scored],
        notes: tuple[str, ...],
    ) -> "FittedApcPlus":
        """With location and scale of each part and of the whole map, taken from `reference`: normal
        images that took no part, with their scores by `inner`. `fused_image`: the whole map's
        weight in the image score.
        """
        images, by_distance = reference
        plain = cls(inner, distance_scale(by_distance), evidence, notes)
        bank, *others = plain._maps(images, by_distance)
        parts = [Part(ZScore.of(bank), 1.0, 1.0)]
        for part, maps in zip(evidence, others, strict=True):
            parts.append(Part(ZScore.of(maps), part.weight, part.image_weight, part.only_adds))
        fusion = Fusion.of([bank, *others], parts, fused_image)
        return dataclasses.replace(plain, fusion=fusion)

    @property
    def bank(self) -> MemoryBank:
        """PatchCore's."""
        return self.inner.bank

    @property
    def timings(self) -> Timings:
        """PatchCore's."""
        return self.inner.timings

    @property
    def sigma(self) -> float:
        """PatchCore's."""
        return self.inner.sigma

    def score(self, images: Images) -> Scored:
        """Scores by the fused maps; the image score adds each part's largest patch."""
        by_distance = self.inner.score(images)
        maps, scores = fuse(self._maps(images, by_distance), self.fusion)
        return dataclasses.replace(by_distance, maps=maps, scores=scores)

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images."""
        images, scored = self.inner.calibrate()
        return images, self.score(images) if images else scored

    def _maps(self, images: Images, by_distance: Scored) -> list[AnomalyMaps]:
        others = [part.maps(images) for part in self.evidence]
        return [log_distances(by_distance.maps, self.scale), *others]
