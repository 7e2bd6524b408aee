"""What lies behind a category's figures, trial by trial: scores, curves, the hardest images with
the normal patches that they were compared with, and the images on which two systems disagree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.report.curves import PANELS, curve_line
from apc_bench.report.pictures import CELLS, Patch, PicturePool, photos_of
from apc_bench.report.scaled_maps import ScaledMaps, read_scaled_maps
from apc_bench.report.selection import Pick
from apc_bench.report.side_by_side import PickedImages, beside, pick_images
from apc_bench.results.aggregate import TEST, Results, System, Trial
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.number_format import percent

BINS = 24
POINTS_MAX = 120
NO_BANK = "no nearest patch: this detector keeps no memory bank"
LEGEND = f"Crops show {CELLS} × {CELLS} cells of the detector's grid, the patch in the middle"

FIGURES = (*POSTER, "missed_rate", "false_alarm_rate")
"""What stands above a trial's pictures."""

Json = dict[str, Any]


def drilldown_tasks(
    results: Results, data: Path | None, seeds: Sequence[int]
) -> list[Callable[[Results, RunReader], Json | None]]:
    """The work of `drilldown`, a category each, for parallel.performed."""
    return [partial(drilldown, category, data, seeds) for category in results.categories]


def drilldown(
    category: str, data: Path | None, seeds: Sequence[int], results: Results, run: RunReader
) -> Json | None:
    """One category as a value for JSON: `trials` by `SYSTEM-SEED` (position of the system, seed) of
    these seeds, `shots`, and `pictures`, which the trials name by position: a data address, or
    words in its place; `damaged`: files of the run that cannot be read. `data`: the dataset's
    folder, None where it is not at hand.

    None where there is no trial, damaged or not.
    """
    photos = photos_of(results, run, category, data)
    behind = _Category(category, results, run, any(photos.masks.values()))
    trials: dict[str, Json] = {}
    for seed in seeds:
        for system, trial in behind.of_seed(seed):
            trials[f"{results.systems.index(system)}-{seed}"] = trial
    if not trials and not run.damaged:
        return None
    return {
        "trials": trials,
        "shots": list(_by_shots(results, category)),
        "pictures": behind.pictures.made(photos),
        "damaged": list(run.damaged),
    }


@dataclass(frozen=True, slots=True)
class _Category:
    """The trials of one category, and the pictures that they ask for. `masked`: whether there are
    masks to show.
    """

    category: str
    results: Results
    run: RunReader
    masked: bool
    pictures: PicturePool = field(default_factory=PicturePool)

    def of_seed(self, seed: int) -> Iterator[tuple[System, Json]]:
        """The trials of a seed that can be read."""
        trials = {
            system: self.results.trials[system, self.category, seed]
            for system in self.results.systems
            if seed in system.seeds
        }
        keys = [trial.result_key for trial in trials.values() if trial.result_key]
        scores, curves = self.run.scores_of(keys), self.run.curves_of(keys)
        picked = {
            system: pick_images(self.results, system, trials, scores)
            for system, trial in trials.items()
            if trial.result_key in scores
        }
        # Maps stand side by side, so each system keeps those of the others' images too.
        wanted = {pick.image for one in picked.values() for pick in one.all}
        shown: dict[System, ScaledMaps] = {}
        for system, trial in trials.items():
            table = scores.get(trial.result_key or "")
            scaled = read_scaled_maps(system, trial, self.run, wanted, table)
            if scaled is not None:
                shown[system] = scaled
        for system, own in shown.items():
            maps = [shown[other] for other in beside(self.results, system) if other in shown]
            points = curves.get(trials[system].result_key or "")
            yield system, self._trial(trials[system], seed, own, maps, points, picked[system])

    def _trial(
        self,
        trial: Trial,
        seed: int,
        own: ScaledMaps,
        beside: Sequence[ScaledMaps],
        points: pl.DataFrame | None,
        picked: PickedImages,
    ) -> Json:
        row, shown = trial.rows[TEST], self.results.shown(FIGURES)
        return {
            "figures": [(CATALOGUE[metric].heading, _percent(row[metric])) for metric in shown],
            "histogram": _histogram(own),
            "curves": _curves(points),
            "one": own.one,
            "images": [self._image(pick, seed, own, beside) for pick in picked.hardest],
            "disagree": [
                {
                    "why": side.why,
                    "number": side.number,
                    "images": [self._seen(pick, seed, own, beside) for pick in side.picks],
                }
                for side in picked.sides
            ],
        }

    def _seen(self, pick: Pick, seed: int, own: ScaledMaps, beside: Sequence[ScaledMaps]) -> Json:
        """An image: what it is, its pictures, and the maps of all `beside`."""
        name = pick.image
        row = own.table.row(by_predicate=pl.col("image") == name, named=True)
        return {
            "why": pick.why,
            "name": name,
            "type": pick.defect_type,
            "score": _short(row["score"]),
            "normal": not pick.label,
            "image": self.pictures.photo(name),
            "mask": self.pictures.mask(name, pick.label) if self.masked else None,
            "outline": self.pictures.outline(name) if pick.label and self.masked else None,
            "maps": [self._map(name, seed, scaled) for scaled in beside],
        }

    def _image(self, pick: Pick, seed: int, own: ScaledMaps, beside: Sequence[ScaledMaps]) -> Json:
        """One of the hardest images, with its worst patch and the normal one that is nearest."""
        name = pick.image
        row = own.table.row(by_predicate=pl.col("image") == name, named=True)
        image = {**self._seen(pick, seed, own, beside), "nearest": None}
        if name in own.maps and row["worst_row"] is not None:
            rows, columns = own.maps[name].shape
            worst = Patch(row["worst_row"], row["worst_column"], (rows, columns))
            image["patch"] = self._patch(name, worst)
            if row["nearest_image"] is not None:
                nearest = Patch(row["nearest_row"], row["nearest_column"], (rows, columns))
                image["nearest"] = self._patch(row["nearest_image"], nearest)
                image["distance"] = _short(row["nearest_distance"])
        return image

    def _map(self, image: str, seed: int, scaled: ScaledMaps) -> Json:
        return {
            "of": scaled.system.label,
            "score": scaled.score(image) if image in scaled.scores else None,
            "map": self.pictures.map((scaled.system, seed), image, scaled.maps.get(image)),
        }

    def _patch(self, image: str, patch: Patch) -> Json:
        return {
            "name": image,
            "row": patch.row,
            "column": patch.column,
            "grid": patch.grid,
            "box": [round(share, 4) for share in patch.box()],
            "crop": self.pictures.crop(image, patch),
        }


def _histogram(own: ScaledMaps) -> Json:
    """Counts of the test images' scores, normal and anomalous, in the same BINS bins, with the
    calibrated threshold.

    Scores have long tails: the bins end at the 95th percentile, or above the threshold, and where
    scores lie beyond (`beyond`), the last bin counts them too.
    """
    test = own.table.filter(pl.col("split") == "test")
    scores, anomalous = test["score"].to_numpy().astype(np.float64), test["label"].to_numpy()
    low, high = _histogram_range(scores, own.threshold)

    def counts(kind: np.ndarray) -> list[int]:
        found: list[int] = np.histogram(scores[kind].clip(low, high), BINS, (low, high))[0].tolist()
        return found

    return {
        "low": _short(low),
        "high": _short(high),
        "beyond": bool((scores > high).any()),
        "threshold": None if own.threshold is None else _short(own.threshold),
        "normal": counts(~anomalous),
        "anomalous": counts(anomalous),
    }


def _histogram_range(scores: np.ndarray, threshold: float | None) -> tuple[float, float]:
    """Ends of the bins over scores (n,), which may be none."""
    lows, highs = list(scores), [float(np.quantile(scores, 0.95))] if len(scores) else []
    if threshold is not None:
        lows.append(threshold)
    low = float(min(lows, default=0.0))
    if threshold is not None:
        highs.append(low + 1.25 * (threshold - low))
    high = max(highs, default=low)
    return low, high if high > low else low + 1.0


def _curves(points: pl.DataFrame | None) -> dict[str, list[tuple[float, float]]]:
    """`image roc` and so on -> its points, of a trial's curves; without those that are undefined or
    cannot be read.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    if points is None:
        return curves
    for level, curve in PANELS:
        x, y = curve_line(points, level, curve, POINTS_MAX)
        if len(x):
            points_of_line = zip(x.tolist(), y.tolist(), strict=True)
            curves[f"{level} {curve}"] = [(round(a, 4), round(b, 4)) for a, b in points_of_line]
    return curves


def _by_shots(results: Results, category: str) -> Iterator[Json]:
    """Each system's metrics in this category: mean and standard deviation over seeds, in percent,
    by metric.
    """
    for position, system in enumerate(results.systems):
        values = {}
        for metric in POSTER:
            mean = results.in_category(system, category, metric)
            if mean:
                spread = 100 * (mean.sd or 0.0)
                values[CATALOGUE[metric].heading] = [round(100 * mean.value, 2), round(spread, 2)]
        yield {"system": position, "shots": system.shots, "values": values}


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{percent(fraction)} %"


def _short(value: float) -> float:
    return float(f"{value:.4g}")
