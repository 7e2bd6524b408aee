"""What each system makes of a category's anomalous images, trial by trial, joined.

A threshold is set for each model on normal images alone (docs/method.md section 5), and ranks are
taken among the normal test images of the same model before they are pooled, for models' scores have
no common scale.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.metrics.controlled import CALIBRATION, LEARNED
from apc_bench.results.aggregate import TEST, System, Trial, why_undefined
from apc_bench.statistics.differences import mean

COLUMNS = ("image", "group", "defect_type", "label", "split", "score", "nearest_distance")
"""What is read of the scores."""

CALIBRATING = (CALIBRATION, LEARNED)
"""`split` of the normal images that a threshold rests on."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One anomalous image: the share of tries that called it anomalous (None: no threshold), and
    its mean rank among normal test images.
    """

    image: str
    group: str
    defect_type: str
    found: float | None
    rank: float

    @property
    def missed(self) -> float:
        """The share of tries that did not find it."""
        return 1 - (self.found or 0)


ByDefect = Mapping[str, float]
"""Defect (a group of photos) -> a share from 0 to 1, mean over its photos."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What a system made of a category's anomalous images. `false_alarms`: share of the normal test
    images; `undefined`: why there is no threshold; `normal`, `calibrated`: how many normal images
    each model is tested on, and its threshold set on.
    """

    system: System
    photos: Sequence[Photo]
    false_alarms: float | None
    undefined: str | None
    normal: int
    calibrated: int = 0

    @cached_property
    def found(self) -> ByDefect:
        """The share of tries that found a defect."""
        return _by_defect(self.photos, lambda photo: photo.found)

    @cached_property
    def ranks(self) -> ByDefect:
        """A defect's rank among the normal test images."""
        return _by_defect(self.photos, lambda photo: photo.rank)

    @property
    def share(self) -> float:
        """Of the defects, those found."""
        return mean(list(self.found.values()))

    @property
    def pooled_auroc(self) -> float:
        """Image AUROC of all photos, each ranked under the model that scored it."""
        return mean([photo.rank for photo in self.photos])

    @property
    def auroc(self) -> float:
        """Image AUROC in which each defect counts once, ranked under the model that scored it."""
        return mean(list(self.ranks.values()))

    def of_type(self, kind: str) -> "Detections":
        """The same of one defect type's photos."""
        photos = [photo for photo in self.photos if photo.defect_type == kind]
        return replace(self, photos=photos)


def _by_defect(photos: Sequence[Photo], value: Callable[[Photo], float | None]) -> ByDefect:
    groups: dict[str, list[float]] = defaultdict(list)
    for photo in photos:
        known = value(photo)
        if known is not None:
            groups[photo.group].append(known)
    return {group: mean(values) for group, values in sorted(groups.items())}


def detections_of(
    system: System, trials: Sequence[Trial], scores: Mapping[str, pl.DataFrame]
) -> Detections:
    """A system's trials of one category, joined, each at its own threshold. `scores`: result key ->
    scored images, of each.
    """
    undefined = [
        why_undefined(trial.rows[TEST]).get("threshold", "no threshold")
        for trial in trials
        if trial.rows[TEST]["threshold"] is None
    ]
    tables = [scores[trial.result_key or ""] for trial in trials]
    return detections_at(system, tables, thresholds_of(trials), undefined)


def thresholds_of(trials: Sequence[Trial]) -> list[float | None]:
    """The threshold that each trial has calibrated."""
    return [trial.rows[TEST]["threshold"] for trial in trials]


def detections_at(
    system: System,
    tables: Sequence[pl.DataFrame],
    thresholds: Sequence[float | None],
    undefined: Sequence[str] = (),
) -> Detections:
    """The same of scored images (COLUMNS), a table a trial, at any thresholds. `undefined`: why
    some are None. Numbers are found trial by trial, in arrays, and images joined at once: there may
    be hundreds.
    """
    tried = [_tried(table, threshold) for table, threshold in zip(tables, thresholds, strict=True)]
    alarms = [one.false_alarms for one in tried if one.false_alarms is not None]
    photos = (
        pl.concat(tables)
        .select("image", "group", "defect_type")
        .filter(np.concatenate([one.anomalous for one in tried]))
        .with_columns(
            found=pl.Series(np.concatenate([one.found for one in tried]), nan_to_null=True),
            rank=pl.Series(np.concatenate([one.ranks for one in tried])),
        )
        .group_by("image", "group", "defect_type")
        .agg(pl.mean("found", "rank"))
        .sort("image")
    )
    return Detections(
        system,
        [Photo(*row) for row in photos.iter_rows()],
        mean(alarms) if alarms and not undefined else None,
        undefined[0] if undefined else None,
        min(one.normal for one in tried),
        min(int(table["split"].is_in(CALIBRATING).sum()) for table in tables),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """One model's test images. `anomalous`: which rows of its scores they are, (rows,) bool;
    `found` (1, 0, NaN without a threshold) and `ranks` among the normal ones (0 to 1, ties half),
    (n,) each; `normal`: how many of these there are.
    """

    anomalous: NDArray[np.bool_]
    found: NDArray[np.float64]
    ranks: NDArray[np.float64]
    normal: int
    false_alarms: float | None


def ranks_among(values: NDArray[Any], normal: NDArray[Any]) -> NDArray[np.float64]:
    """The share of the `normal` scores (m,), in any order, that each of `values` (n,) is above,
    ties half: (n,); their mean is the AUROC. 0 where there are none.
    """
    normal = np.sort(normal)
    below = np.searchsorted(normal, values) + np.searchsorted(normal, values, "right")
    return below / (2 * max(1, len(normal)))


def _tried(table: pl.DataFrame, threshold: float | None) -> _Tried:
    test, label = (table["split"] == TEST).to_numpy(), table["label"].to_numpy()
    scores, anomalous = table["score"].to_numpy(), test & label
    normal, values = scores[test & ~label], scores[anomalous]
    found, false_alarms = np.full(len(values), np.nan), None
    if threshold is not None:
        found = (values > threshold).astype(np.float64)
        false_alarms = float((normal > threshold).mean()) if len(normal) else None
    return _Tried(anomalous, found, ranks_among(values, normal), len(normal), false_alarms)
