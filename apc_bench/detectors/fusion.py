"""Adding the evidence of several anomaly maps: each standardised on normal images that took no
part, then weighted (docs/method.md section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
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
    def of(cls, maps: Array) -> "ZScore":
        """maps (n, rows, columns) of at least one normal image."""
        tops = maps.reshape(len(maps), -1).max(axis=1).astype(np.float64)
        deviation = max(float(maps.std(dtype=np.float64)), 1e-12)
        return cls(
            float(maps.mean(dtype=np.float64)),
            deviation,
            float(tops.mean()),
            max(float(tops.std()), FLOOR * deviation),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One source of evidence: its standard, its weight in the map and in the image score.
    `only_adds`: what lies below the normal mean counts as the mean, so that a part that knows few
    defects never speaks against the others.
    """

    standard: ZScore
    weight: float
    image_weight: float
    only_adds: bool = False


def fuse(maps: Sequence[Array], parts: Sequence[Part]) -> tuple[Array, Array]:
    """One map array (n, rows, columns) per part -> the weighted sum of the standardised maps, and
    image scores (n,): the weighted sum of each part's largest patch, standardised over images.
    """
    fused = np.zeros(maps[0].shape, np.float64)
    scores = np.zeros(len(maps[0]), np.float64)
    for one, part in zip(maps, parts, strict=True):
        standard = part.standard
        values = (one - standard.mean) / standard.deviation
        fused += part.weight * (np.maximum(values, 0) if part.only_adds else values)
        tops = one.reshape(len(one), -1).max(axis=1, initial=-np.inf) if len(one) else scores
        values = (tops - standard.top_mean) / standard.top_deviation
        scores += part.image_weight * (np.maximum(values, 0) if part.only_adds else values)
    return fused.astype(np.float32), scores.astype(np.float32)
