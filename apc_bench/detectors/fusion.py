"""Adding the evidence of several anomaly maps: each standardised on normal images that took no
part, then weighted (docs/method.md section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AnomalyMaps = NDArray[np.float32]
"""(n, rows, columns), higher is more anomalous."""

FLOOR = 0.1
"""Maxima of few images may hardly differ: their deviation counts as at least this share of the
patches' own.
"""


@dataclass(frozen=True, slots=True)
class ZScore:
    """Location and scale of a map's patches, and of its images' largest patches, over calibration
    images.
    """

    mean: float
    deviation: float
    top_mean: float
    top_deviation: float

    @classmethod
    def of(cls, maps: AnomalyMaps) -> "ZScore":
        """From maps (n, rows, columns) of at least one normal image."""
        tops = maps.reshape(len(maps), -1).max(axis=1).astype(np.float64)
        deviation = max(float(maps.std(dtype=np.float64)), 1e-12)
        return cls(
            mean=float(maps.mean(dtype=np.float64)),
            deviation=deviation,
            top_mean=float(tops.mean()),
            top_deviation=max(float(tops.std()), FLOOR * deviation),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One source of evidence: its standardisation, its weight in the map and in the image score.
    `only_adds`: what lies below the normal mean counts as the mean, so that a part that knows few
    defects never speaks against the others.
    """

    zscore: ZScore
    weight: float
    image_weight: float
    only_adds: bool = False


@dataclass(frozen=True, slots=True)
class Fusion:
    """How maps are added: their parts, and how much the largest patch of the sum counts in the
    image score beside theirs, standardised as they are (None: not).
    """

    parts: Sequence[Part] = ()
    whole: Part | None = None

    @classmethod
    def of(
        cls, maps: Sequence[AnomalyMaps], parts: Sequence[Part], image_weight: float
    ) -> "Fusion":
        """`image_weight`: of the whole map, standardised on these maps of normal images."""
        if not image_weight:
            return cls(parts)
        fused, _ = fuse(maps, cls(parts))
        return cls(parts, Part(ZScore.of(fused), 0.0, image_weight))


def fuse(maps: Sequence[AnomalyMaps], fusion: Fusion) -> tuple[AnomalyMaps, AnomalyMaps]:
    """One map array (n, rows, columns) float32 per part -> the weighted sum of the standardised
    maps, and image scores (n,): the weighted sum of each part's largest patch, and of the whole
    map's, standardised over images; both float32.
    """
    fused = np.zeros(maps[0].shape, np.float64)
    scores = np.zeros(len(maps[0]), np.float64)
    for values, part in zip(maps, fusion.parts, strict=True):
        standardised = (values - part.zscore.mean) / part.zscore.deviation
        if part.only_adds:
            standardised = np.maximum(standardised, 0)
        fused += part.weight * standardised
        scores += _image_scores(values, part)
    if fusion.whole is not None:
        scores += _image_scores(fused.astype(np.float32), fusion.whole)
    return fused.astype(np.float32), scores.astype(np.float32)


def _image_scores(maps: AnomalyMaps, part: Part) -> NDArray[np.float64]:
    """maps (n, rows, columns) -> each one's largest patch (n,), standardised and weighted."""
    if not len(maps):
        return np.zeros(0)
    tops = maps.reshape(len(maps), -1).max(axis=1)
    standardised = (tops - part.zscore.top_mean) / part.zscore.top_deviation
    if part.only_adds:
        standardised = np.maximum(standardised, 0)
    weighted: NDArray[np.float64] = part.image_weight * standardised
    return weighted
