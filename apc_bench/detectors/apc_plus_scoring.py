"""Scoring of APC+: the memory bank's map and the maps of the parts beside it, standardised on the
held-out normal images and added (detectors/fusion.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.detectors.features import BATCH, FeatureSource
from apc_bench.detectors.fusion import AnomalyMaps, Fusion, Part, ZScore, fuse
from apc_bench.detectors.patchcore_scoring import FittedPatchCore
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
            batch = normalise(
                torch.from_numpy(images.pixels(part)).to(device), network.backbone.statistics
            )
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
    patch that it was compared with. `on_normal`: the scores of those normal images.
    """

    inner: FittedPatchCore
    scale: float
    evidence: Sequence[Evidence]
    notes: tuple[str, ...]
    fusion: Fusion
    on_normal: Scored
    unit: str = "standard score"

    @classmethod
    def standardised(
        cls,
        inner: FittedPatchCore,
        evidence: Sequence[Evidence],
        fused_image: float,
        *,
        normal: Images,
        notes: tuple[str, ...],
    ) -> "FittedApcPlus":
        """With location and scale of each part and of the whole map, taken from `normal` images
        that took no part. `fused_image`: the whole map's weight in the image score.
        """
        by_distance = inner.score(normal)
        scale = distance_scale(by_distance)
        bank, *others = maps = _maps(normal, by_distance, scale, evidence)
        parts = [Part(ZScore.of(bank), 1.0, 1.0)]
        for part, own in zip(evidence, others, strict=True):
            parts.append(Part(ZScore.of(own), part.weight, part.image_weight, part.only_adds))
        fusion = Fusion.of(maps, parts, fused_image)
        return cls(inner, scale, evidence, notes, fusion, _fused(by_distance, maps, fusion))

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
        maps = _maps(images, by_distance, self.scale, self.evidence)
        return _fused(by_distance, maps, self.fusion)

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images: those that it was standardised on, where there are any."""
        images = self.inner.calibration_images()
        return images, self.on_normal if images else Scored.join([])

    def control(self) -> tuple[Images, Scored]:
        """As the bank scores them. Of the whole no score: what is beside the bank knows these
        images.
        """
        images, scored = self.inner.control()
        return images, replace(scored, scores=np.full_like(scored.scores, np.nan))


def _maps(
    images: Images, by_distance: Scored, scale: float, evidence: Sequence[Evidence]
) -> list[AnomalyMaps]:
    return [log_distances(by_distance.maps, scale), *(part.maps(images) for part in evidence)]


def _fused(by_distance: Scored, parts: Sequence[AnomalyMaps], fusion: Fusion) -> Scored:
    maps, scores = fuse(parts, fusion)
    return replace(by_distance, maps=maps, scores=scores)
