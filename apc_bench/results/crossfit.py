"""What each system of a cross-fitted run finds of all defects.

Every defect was tested on models that never saw it. A threshold is set for each model on normal
images alone (docs/method.md section 5), and ranks are taken among the normal test images of the
same model before they are pooled, for models' scores have no common scale.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from apc_bench.errors import DamagedFile
from apc_bench.results.aggregate import TEST, Results, System, Trial
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import mean


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


@dataclass(frozen=True, eq=False)
class Detections:
    """What a system made of a category's anomalous images. `false_alarms`: share of the normal test
    images; `undefined`: why there is no threshold.
    """

    system: System
    photos: Sequence[Photo]
    false_alarms: float | None
    undefined: str | None

    @cached_property
    def by_group(self) -> Mapping[str, float]:
        """Defect -> share of tries that found it, mean over its photos."""
        groups: dict[str, list[float]] = defaultdict(list)
        for photo in self.photos:
            if photo.found is not None:
                groups[photo.group].append(photo.found)
        return {group: mean(shares) for group, shares in sorted(groups.items())}

    @property
    def share(self) -> float:
        """Of the defects, those found."""
        return mean(list(self.by_group.values()))

    @property
    def pooled_auroc(self) -> float:
        """Image AUROC of all photos, each ranked under the model that scored it."""
        return mean([photo.rank for photo in self.photos])

    def gains(self, baseline: "Detections") -> list[float]:
        """The share found of each defect minus the baseline's."""
        return [self.by_group[group] - share for group, share in baseline.by_group.items()]


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitSummary:
    """One category's detections, the baseline's first. `allowed`: the false-alarm rate that
    thresholds were set for.
    """

    category: str
    shots: int
    detections: Sequence[Detections]
    allowed: float

    @property
    def defects(self) -> int:
        """How many groups of photos there are."""
        return len({photo.group for photo in self.detections[0].photos})

    @property
    def undefined(self) -> str | None:
        """Why some system has no threshold, so that nothing can be said of shares found."""
        reasons = [found.undefined for found in self.detections if found.undefined]
        return reasons[0] if reasons else None


def crossfit_summaries(results: Results, run: RunReader) -> list[CrossFitSummary]:
    """The summary of each category that can be read, where every trial is done; none of a run that
    was not cross-fitted or has no frozen baseline.
    """
    systems = _systems(results)
    if len(systems) < 2:
        return []
    summaries = []
    for category in results.categories:
        try:
            detections = [_detections(results, run, system, category) for system in systems]
        except DamagedFile:
            continue  # which the page names
        allowed = float(results.settings["false_alarms"])
        summaries.append(CrossFitSummary(category, max(results.shots), detections, allowed))
    return summaries


def _systems(results: Results) -> list[System]:
    """The baseline and, at their largest number of shots, the others that miss no trial."""
    baseline = results.baseline
    if not results.folded or baseline is None or not results.shots or results.missing(baseline):
        return []
    others = [system for system in results.at_most_shots() if system != baseline]
    return [baseline, *(system for system in others if not results.missing(system))]


def _detections(results: Results, run: RunReader, system: System, category: str) -> Detections:
    tries: list[pl.DataFrame] = []
    alarms: list[float] = []
    undefined = None
    for seed in system.seeds:
        trial = results.trials[system, category, seed]
        threshold = trial.rows[TEST]["threshold"]
        photos, false_alarms = _try(trial, run, threshold)
        tries.append(photos)
        if false_alarms is None:
            undefined = dict(trial.rows[TEST]["undefined"]).get("threshold", "no threshold")
        else:
            alarms.append(false_alarms)
    by_photo = pl.concat(tries).group_by("image", "group", "defect_type")
    photos = by_photo.agg(pl.mean("found", "rank")).sort("image")
    return Detections(
        system,
        [Photo(*row) for row in photos.iter_rows()],
        mean(alarms) if alarms and not undefined else None,
        undefined,
    )


def _try(
    trial: Trial, run: RunReader, threshold: float | None
) -> tuple[pl.DataFrame, float | None]:
    """One model's anomalous test images, whether each was found (0 or 1; null without a threshold)
    and its rank among the normal ones (0 to 1, ties half); and its false-alarm rate.
    """
    assert trial.result_key is not None
    scores = run.scores(trial.result_key).filter(pl.col("split") == TEST)
    normal = np.sort(scores.filter(~pl.col("label"))["score"].to_numpy())
    anomalous = scores.filter("label")
    values = anomalous["score"].to_numpy()
    below = np.searchsorted(normal, values) + np.searchsorted(normal, values, "right")
    found, false_alarms = np.full(len(values), None), None
    if threshold is not None:
        found, false_alarms = values > threshold, float((normal > threshold).mean())
    photos = anomalous.select("image", "group", "defect_type").with_columns(
        pl.Series("found", found.tolist()).cast(pl.Float64),
        pl.Series("rank", below / (2 * len(normal)), pl.Float64),
    )
    return photos, false_alarms
