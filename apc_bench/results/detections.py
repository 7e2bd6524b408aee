"""What each system makes of a category's anomalous images, trial by trial, joined.

A threshold is set for each model on normal images alone (docs/method.md section 5), and ranks are
taken among the normal test images of the same model before they are pooled, for models' scores have
no common scale.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from apc_bench.results.aggregate import TEST, System, Trial, why_undefined
from apc_bench.statistics.differences import mean

COLUMNS = ("image", "group", "defect_type", "label", "split", "score")
"""What is read of the scores."""


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
    images; `undefined`: why there is no threshold; `normal`: how many normal images each model is
    tested on.
    """

    system: System
    photos: Sequence[Photo]
    false_alarms: float | None
    undefined: str | None
    normal: int

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
        return Detections(self.system, photos, self.false_alarms, self.undefined, self.normal)


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
    """A system's trials of one category, joined. `scores`: result key -> scored images, of each."""
    tries: list[pl.DataFrame] = []
    alarms: list[float] = []
    normal: list[int] = []
    undefined = None
    for trial in trials:
        row = trial.rows[TEST]
        rows = scores[trial.result_key or ""].filter(pl.col("split") == TEST)
        photos, of_normal = _tried(rows, row["threshold"])
        tries.append(photos)
        normal.append(len(of_normal))
        if row["threshold"] is None:
            undefined = why_undefined(row).get("threshold", "no threshold")
        elif len(of_normal):
            alarms.append(float((of_normal > row["threshold"]).mean()))
    by_photo = pl.concat(tries).group_by("image", "group", "defect_type")
    photos = by_photo.agg(pl.mean("found", "rank")).sort("image")
    return Detections(
        system,
        [Photo(*row) for row in photos.iter_rows()],
        mean(alarms) if alarms and not undefined else None,
        undefined,
        min(normal),
    )


def _tried(scores: pl.DataFrame, threshold: float | None) -> tuple[pl.DataFrame, Any]:
    """One model's anomalous test images, whether each was found (0 or 1; null without a threshold)
    and its rank among the normal ones (0 to 1, ties half); and the scores of these.
    """
    normal = np.sort(scores.filter(~pl.col("label"))["score"].to_numpy())
    anomalous = scores.filter("label")
    values = anomalous["score"].to_numpy()
    below = np.searchsorted(normal, values) + np.searchsorted(normal, values, "right")
    found = np.full(len(values), None) if threshold is None else values > threshold
    photos = anomalous.select("image", "group", "defect_type").with_columns(
        pl.Series("found", found.tolist()).cast(pl.Float64),
        pl.Series("rank", below / (2 * max(1, len(normal))), pl.Float64),
    )
    return photos, normal
