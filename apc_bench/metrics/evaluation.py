"""From scores and maps to metrics and curves, for any detector, ours or foreign (docs/method.md
section 5).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from apc_bench.metrics.catalogue import AT_THRESHOLD, CATALOGUE, METRICS, PIXEL
from apc_bench.metrics.controlled import Control, calibrated
from apc_bench.metrics.exact import (
    Measure,
    PixelRanking,
    Points,
    Ranking,
    at_threshold,
)

PRO_LIMIT = 0.3
TEST, FULL = "test", "full"
NO_MASKS = "no anomalous image has a mask"
ALL_EMPTIED = "the resize left no anomalous pixel in any mask; a larger image_size keeps more"
NOT_BY_TYPE = "computed on the whole test set only"
_AT_PIXELS = (
    *(name for name in METRICS if CATALOGUE[name].level == PIXEL),
    "pixel_f1_max_threshold",
)


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Scored images: scores (n,), labels (n,) bool, maps (n, rows, columns), masks (n, s, s) bool,
    mask_state (n,) (datasets/decoding.py), windows (n, 4): top, bottom, left, right of the image
    inside the input, whose padding is no pixel of anything.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    maps: NDArray[np.float32]
    masks: NDArray[np.bool_]
    mask_state: NDArray[np.str_]
    windows: NDArray[np.int32]
    image_size: int
    sigma: float

    def where(self, chosen: NDArray[np.bool_]) -> "Subset":
        """The images that are chosen."""
        arrays = ("scores", "labels", "maps", "masks", "mask_state", "windows")
        return replace(self, **{name: getattr(self, name)[chosen] for name in arrays})


@dataclass(frozen=True, slots=True, eq=False)
class Threshold:
    """Scores (n,) of normal images that calibrate, and the false-alarm rate asked for. `none`: why
    there is no such image, where that is known. `control`: what the images that the system learned
    from say beside them.
    """

    calibration: NDArray[np.float64]
    false_alarms: float
    none: str | None = None
    control: Control | None = None

    def measure(self) -> Measure:
        """The threshold itself, or why there is none."""
        if self.none and not len(self.calibration):
            return Measure(None, self.none)
        return calibrated(self.calibration, self.control, alpha=self.false_alarms)


@dataclass(slots=True)
class Evaluated:
    """One subset's metrics by column name (None: undefined, with the reason), its counts, and the
    points of its curves.
    """

    counts: dict[str, int] = field(default_factory=dict)
    values: dict[str, float | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)

    def put(self, measures: Mapping[str, Measure]) -> None:
        """Adds measures; an undefined one is null with its reason."""
        for name, measure in measures.items():
            self.values[name] = measure.value
            if measure.value is None:
                self.undefined[name] = measure.reason or "undefined"


def evaluate(
    subset: Subset, threshold: Threshold, *, pixels: bool = True, curves: bool = False
) -> Evaluated:
    """All metrics of a subset. An anomalous image without a usable mask counts at the image level
    only.
    """
    result = Evaluated()
    result.counts = {
        "normal": int((~subset.labels).sum()),
        "anomalous": int(subset.labels.sum()),
        "masked": int((subset.mask_state == "present").sum()),
        "emptied": int((subset.mask_state == "emptied").sum()),
    }
    ranking = Ranking.of(subset.scores, subset.labels)
    best, at = ranking.f1_max()
    image_metrics = {"image_auroc": ranking.auroc(), "image_ap": ranking.average_precision()}
    result.put({**image_metrics, "image_f1_max": best})
    result.values["image_f1_max_threshold"] = at
    _at_calibrated(result, subset, threshold)
    if curves:
        result.curves += _points("image", {"roc": ranking.roc(), "pr": ranking.precision_recall()})
    if not pixels or not result.counts["masked"]:
        reason = ALL_EMPTIED if result.counts["emptied"] else NO_MASKS
        reason = reason if pixels else NOT_BY_TYPE
        result.put({name: Measure(None, reason) for name in _AT_PIXELS})
        return result
    usable = np.isin(subset.mask_state, ("normal", "present"))
    _at_pixels(result, subset.where(usable), curves=curves)
    return result


def _at_calibrated(result: Evaluated, subset: Subset, threshold: Threshold) -> None:
    measure = threshold.measure()
    result.put({"threshold": measure})
    reached = at_threshold(subset.scores, subset.labels, measure)
    result.put({name: getattr(reached, name) for name in AT_THRESHOLD})


def _at_pixels(result: Evaluated, subset: Subset, *, curves: bool) -> None:
    scores = pixel_scores(subset.maps, subset.image_size, subset.sigma)
    maps, masks = [], []
    for smooth, mask, window in zip(scores, subset.masks, subset.windows, strict=True):
        top, bottom, left, right = window
        maps.append(smooth[top:bottom, left:right])
        masks.append(mask[top:bottom, left:right])
    ranking = PixelRanking.of(maps, masks)
    best, at = ranking.pixels.f1_max()
    result.put(
        {
            "pixel_auroc": ranking.pixels.auroc(),
            "pixel_ap": ranking.pixels.average_precision(),
            "pixel_f1_max": best,
            "au_pro": ranking.au_pro(limit=PRO_LIMIT),
        }
    )
    result.values["pixel_f1_max_threshold"] = at
    if curves:
        pixels = ranking.pixels
        points = {"roc": pixels.roc(), "pr": pixels.precision_recall(), "pro": ranking.pro()}
        result.curves += _points("pixel", points)


def pixel_scores(maps: NDArray[np.float32], image_size: int, sigma: float) -> NDArray[np.float32]:
    """Maps (n, rows, columns) -> (n, s, s): bilinear to the input's size, then Gaussian smoothing
    (docs/method.md section 2).
    """
    scores = np.empty((len(maps), image_size, image_size), np.float32)
    size = (image_size, image_size)
    for index, grid in enumerate(maps):
        grown = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BILINEAR))
        scores[index] = gaussian_filter(grown, sigma) if sigma else grown
    return scores


def windows_of(placement: NDArray[np.int32], image_size: int) -> NDArray[np.int32]:
    """Placements (n, 6) -> (n, 4): top, bottom, left, right of the image inside the input."""
    _, _, tall, wide, top, left = placement.T
    edges = [np.clip(edge, 0, image_size) for edge in (top, top + tall, left, left + wide)]
    return np.stack(edges, axis=1).astype(np.int32)


def _points(level: str, curves: Mapping[str, Points]) -> list[dict[str, Any]]:
    """Rows of the curves table."""
    rows = []
    for name, points in curves.items():
        place = {"curve": name, "level": level}
        for x, y, threshold in zip(*points, strict=True):
            rows.append({**place, "x": float(x), "y": float(y), "threshold": float(threshold)})
    return rows
