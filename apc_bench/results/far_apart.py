"""Normal photos that calibrate a threshold and score far above the others, where they are so many
that the threshold lies among them: a few photos in another light can hide most defects. Nothing of
this sets a threshold; it says by which photos one was set.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from apc_bench.metrics.exact import calibrated_threshold
from apc_bench.results.aggregate import System
from apc_bench.results.detections import Detections, detections_at

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
        near, beyond = _apart(photos)
        if threshold is None or threshold not in beyond["score"]:
            rest.append(threshold)
            continue
        far[place] = beyond
        calibrating = max(calibrating, len(photos))
        rest.append(calibrated_threshold(near["score"].to_numpy(), alpha=allowed).value)
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
    return table.filter(pl.col("split") == "calibration")


def _apart(photos: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The photos as far as the fence, and those beyond it."""
    if photos.is_empty():
        return photos, photos
    low, high = np.quantile(photos["score"].to_numpy(), (0.25, 0.75))
    beyond = photos["score"] > high + FENCE * (high - low)
    return photos.filter(~beyond), photos.filter(beyond)


def _middle(photos: pl.DataFrame) -> list[str]:
    """Two images whose scores are in the middle."""
    names = photos.sort("score", "image")["image"].to_list()
    return names[(len(names) - 1) // 2 :][:2]


def _by_distance(far: Iterable[pl.DataFrame]) -> list[str]:
    """The images of several trials, whose scores have no common scale."""
    often: Counter[str] = Counter()
    for photos in far:
        often.update(photos.sort("score", "image", descending=[True, False])["image"].to_list())
    return [image for image, _ in often.most_common()]
