"""Normal photos that calibrate a threshold and score far above the others, where they are so many
that the threshold lies among them: a few photos in another light can hide most defects. Nothing of
this sets a threshold; it says by which photos one was set.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.metrics.controlled import (
    LEARNED,
    Control,
    calibrated,
    expected_scores,
)
from apc_bench.results.aggregate import System
from apc_bench.results.detections import CALIBRATING, Detections, detections_at

FENCE = 3.0
"""Interquartile ranges above the upper quartile, beyond which a score is far out [Tukey,
Exploratory Data Analysis, 1977]. With 267 to 782 photos no threshold of the development categories
lies above 1.6 but those that a group of darker photos sets (6.6 to 6.9) [measured].
"""


@dataclass(frozen=True, slots=True, eq=False)
class FarApart:
    """Of a system's trials those whose threshold is set by photos far apart, `trials` of them, the
    first at position `first`. In each of these `photos` at most are far apart of `calibrating`;
    `images` names those of all such trials, the most frequent first, then the farthest, `usual` two
    whose score is in the middle of the first; `others`: what the system would find with thresholds
    set on the other photos, None where these are too few for one.
    """

    trials: int
    first: int
    photos: int
    calibrating: int
    images: Sequence[str]
    usual: Sequence[str]
    others: Detections | None


def far_apart(
    system: System,
    tables: Sequence[pl.DataFrame],
    thresholds: Sequence[float | None],
    allowed: float,
) -> FarApart | None:
    """Of a system's scored images (detections.COLUMNS) and thresholds, a trial each; `allowed`: the
    false-alarm rate that these were set for. None where photos far apart set the thresholds of less
    than half of the trials.
    """
    rest: list[float | None] = []
    far: dict[int, pl.DataFrame] = {}
    calibrating = 0
    for place, (table, threshold) in enumerate(zip(tables, thresholds, strict=True)):
        photos = _calibrating(table)
        fence = _fence(photos)
        beyond = photos.filter(pl.col("expected") > fence)
        if threshold is None or not _is_set_by(beyond, threshold, fence, photos):
            rest.append(threshold)
            continue
        near = photos.filter(pl.col("expected") <= fence)
        far[place] = beyond
        calibrating = max(calibrating, len(photos))
        rest.append(calibrated(*_evidence(near), alpha=allowed).value)
    if not far or 2 * len(far) < len(tables):
        return None
    first = min(far)
    return FarApart(
        trials=len(far),
        first=first,
        photos=max(map(len, far.values())),
        calibrating=calibrating,
        images=_by_distance(far.values()),
        usual=_middle(_calibrating(tables[first])),
        others=None if None in rest else detections_at(system, tables, rest),
    )


def _calibrating(table: pl.DataFrame) -> pl.DataFrame:
    """The photos that a threshold rests on, with the score that is `expected` of each: where some
    were learned from, by its distance to the bank (metrics/controlled.py).
    """
    photos = table.filter(pl.col("split").is_in(CALIBRATING)).sort(
        pl.col("split") == LEARNED, maintain_order=True
    )
    scores, control = _evidence(photos)
    known = scores if control is None else expected_scores(scores, control)[0]
    return photos.with_columns(expected=pl.Series(known, dtype=pl.Float64))


def _evidence(photos: pl.DataFrame) -> tuple[NDArray[np.float64], Control | None]:
    """Scores of the photos that took no part, and what controls them."""
    parts = [photos.filter(pl.col("split") == split) for split in CALIBRATING]
    distances = [part["nearest_distance"].to_numpy().astype(np.float64) for part in parts]
    scores = parts[0]["score"].to_numpy().astype(np.float64)
    return scores, Control(*distances) if all(map(len, parts)) else None


def _fence(photos: pl.DataFrame) -> float:
    """Beyond which a photo is far apart."""
    if photos.is_empty():
        return math.inf
    low, high = np.quantile(photos["expected"].to_numpy(), (0.25, 0.75))
    return float(high + FENCE * (high - low))


def _is_set_by(beyond: pl.DataFrame, threshold: float, fence: float, photos: pl.DataFrame) -> bool:
    """Whether the threshold is the score of one of those beyond the fence; where some photos were
    learned from it is no photo's, and lies beyond the fence as they do.
    """
    if LEARNED in photos["split"]:
        return not beyond.is_empty() and threshold > fence
    return threshold in beyond["score"]


def _middle(photos: pl.DataFrame) -> list[str]:
    """Two images whose scores are in the middle."""
    names = photos.sort("expected", "image")["image"].to_list()
    return names[(len(names) - 1) // 2 :][:2]


def _by_distance(far: Iterable[pl.DataFrame]) -> list[str]:
    """The images of several trials, whose scores have no common scale."""
    often: Counter[str] = Counter()
    for photos in far:
        ordered = photos.sort("expected", "image", descending=[True, False])
        often.update(ordered["image"].to_list())
    return [image for image, _ in often.most_common()]
