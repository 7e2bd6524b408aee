"""What lies behind a category's figures, trial by trial: scores, curves, the hardest images, and
the normal patches that they were compared with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from apc_bench.datasets.images import Geometry
from apc_bench.errors import ApcError
from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.report.patches import CELLS, Patch
from apc_bench.report.photos import Photos
from apc_bench.report.plots import PANELS, points_of, read_curves
from apc_bench.report.pool import Pictures
from apc_bench.report.scaled_maps import Shown, read_shown
from apc_bench.report.selection import Pick, hardest
from apc_bench.results.aggregate import TEST, Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.number_format import percent

SEEDS_MAX = 5
"""Seeds of a system with pictures in the page; the figures of the others stand in the tables."""

BINS = 24
POINTS_MAX = 120
NO_BANK = "no nearest patch: this detector keeps no memory bank"
LEGEND = f"Crops show {CELLS} × {CELLS} cells of the detector's grid, the patch in the middle"

Json = dict[str, Any]


def drilldown(category: str, data: Path | None, results: Results, run: RunReader) -> Json | None:
    """One category as a value for JSON: `trials` by `SYSTEM-SEED` (position of the system, seed),
    `shots`, and `pictures`, which the trials name by position: a data address, or words in its
    place; `damaged`: files of the run that cannot be read. `data`: the dataset's folder, None where
    it is not at hand.

    None where there is no trial, damaged or not.
    """
    pictures = Pictures()
    trials: dict[str, Json] = {}
    for seed in shown_seeds(results):
        systems = [system for system in results.systems if seed in system.seeds]
        wanted = {
            image for system in systems for image in _wanted(results, run, system, category, seed)
        }
        shown = {
            system: read_shown(results, run, system, category, seed, wanted) for system in systems
        }
        for system, entry in shown.items():
            if entry is not None:
                with_it = [other for other in _beside(results, system) if shown.get(other)]
                entries = [shown[other] for other in with_it]
                trials[f"{results.systems.index(system)}-{seed}"] = _trial(
                    results, run, category, seed, entry, entries, pictures
                )
    if not trials and not run.damaged:
        return None
    geometry = Geometry(int(results.settings["image_size"]), results.settings["resize"])
    masks = _masks(run, category, shown_seeds(results))
    photos = Photos(None if data is None else data / category, geometry, masks)
    return {
        "trials": trials,
        "shots": list(_shots(results, category)),
        "pictures": pictures.made(photos),
        "damaged": list(run.damaged),
    }


def drilldowns(
    results: Results, data: Path | None
) -> list[Callable[[Results, RunReader], Json | None]]:
    """The work of `drilldown`, a category each, for drawing.perform."""
    return [partial(drilldown, category, data) for category in results.categories]


def shown_seeds(results: Results) -> tuple[int, ...]:
    """The seeds whose trials have pictures."""
    return results.seeds[:SEEDS_MAX]


def _wanted(results: Results, run: RunReader, system: System, category: str, seed: int) -> set[str]:
    """The images that a trial shows; none where its scores cannot be read."""
    trial = results.trials[system, category, seed]
    try:
        table = None if trial.result_key is None else run.scores(trial.result_key)
    except ApcError:
        table = None
    return (
        set()
        if table is None
        else {pick.image for pick in hardest(table, threshold=trial.rows[TEST]["threshold"])}
    )


def _masks(run: RunReader, category: str, seeds: Sequence[int]) -> Mapping[str, str | None]:
    """Image -> mask, of the first split that can be read: the same in every seed."""
    for seed in seeds:
        try:
            return run.split(category, seed).masks
        except ApcError:
            continue
    return {}


def _beside(results: Results, system: System) -> list[System]:
    """Whose maps stand side by side: the baseline's and the system's own; beside the baseline, the
    first fine-tuned one's at most shots.
    """
    baseline = results.baseline
    if baseline is None:
        return [system]
    if system != baseline:
        return [baseline, system]
    return [baseline, *[other for other in results.at_most_shots() if not other.frozen][:1]]


def _trial(
    results: Results,
    run: RunReader,
    category: str,
    seed: int,
    entry: Shown,
    beside: Sequence[Shown | None],
    pictures: Pictures,
) -> Json:
    trial = results.trials[entry.system, category, seed]
    row = trial.rows[TEST]
    figures = [(CATALOGUE[metric].heading, row[metric]) for metric in POSTER]
    figures += [("Missed defects", row["missed_rate"]), ("False alarms", row["false_alarm_rate"])]
    return {
        "figures": [
            (title, "–" if value is None else f"{percent(value)} %") for title, value in figures
        ],
        "histogram": _histogram(entry),
        "curves": _curves(run, trial.result_key),
        "one": entry.one,
        "images": [
            _image(pick, seed, entry, [one for one in beside if one], pictures)
            for pick in hardest(entry.table, threshold=entry.threshold)
        ],
    }


def _histogram(entry: Shown) -> Json:
    """Counts of the test images' scores, normal and anomalous, in the same BINS bins, with the
    calibrated threshold.

    Scores have long tails: the bins end at the 95th percentile, or above the threshold, and where
    scores lie beyond (`beyond`), the last bin counts them too.
    """
    test = entry.table.filter(pl.col("split") == "test")
    scores, labels = test["score"].to_numpy().astype(np.float64), test["label"].to_numpy()
    threshold = [] if entry.threshold is None else [entry.threshold]
    low = min([*scores, *threshold], default=0.0)
    high = max(
        [
            *np.quantile(scores, [0.95] if len(scores) else []),
            *(low + 1.25 * (value - low) for value in threshold),
        ],
        default=low,
    )
    high = high if high > low else low + 1.0
    kinds = {"normal": ~labels, "anomalous": labels}
    counts = {
        name: np.histogram(scores[kind].clip(low, high), BINS, (low, high))[0].tolist()
        for name, kind in kinds.items()
    }
    ends = {"low": _short(low), "high": _short(high), "beyond": bool((scores > high).any())}
    return {
        **ends,
        "threshold": None if entry.threshold is None else _short(entry.threshold),
        **counts,
    }


def _curves(run: RunReader, result_key: str | None) -> dict[str, list[list[float]]]:
    """`image roc` and so on -> its points; without those that are undefined or cannot be read."""
    points = read_curves(run, result_key)
    found: dict[str, list[list[float]]] = {}
    if points is None:
        return found
    for level, curve in PANELS:
        x, y = points_of(points, level, curve, POINTS_MAX)
        if len(x):
            found[f"{level} {curve}"] = [
                [round(float(a), 4), round(float(b), 4)] for a, b in zip(x, y, strict=True)
            ]
    return found


def _shots(results: Results, category: str) -> Iterator[Json]:
    """Each system's metrics in this category: mean and standard deviation over seeds, in percent,
    by metric.
    """
    for position, system in enumerate(results.systems):
        means = {metric: results.in_category(system, category, metric) for metric in POSTER}
        values = {
            CATALOGUE[name].heading: [round(100 * mean.value, 2), round(100 * (mean.sd or 0.0), 2)]
            for name, mean in means.items()
            if mean
        }
        yield {"system": position, "shots": system.shots, "values": values}


def _image(
    pick: Pick, seed: int, entry: Shown, beside: Sequence[Shown], pictures: Pictures
) -> Json:
    row = entry.table.row(by_predicate=pl.col("image") == pick.image, named=True)
    own = entry.maps.get(pick.image)
    found = {
        "why": pick.why,
        "name": pick.image,
        "type": pick.defect_type,
        "score": _short(row["score"]),
    }
    found |= {"image": pictures.photo(pick.image), "mask": pictures.mask(pick.image, pick.label)}
    found["outline"] = pictures.outline(pick.image) if pick.label else None
    found["maps"] = [
        {
            "of": one.system.label,
            "score": round(one.scores[pick.image], 2) + 0.0 if pick.image in one.scores else None,
            "map": pictures.map((one.system, seed), pick.image, one.maps.get(pick.image)),
        }
        for one in beside
    ]
    if own is not None and row["worst_row"] is not None:
        found["patch"] = _patch(row, "worst", pick.image, (own.shape[0], own.shape[1]), pictures)
        nearest = row["nearest_image"]
        if nearest is not None:
            found["nearest"] = _patch(
                row, "nearest", nearest, (own.shape[0], own.shape[1]), pictures
            )
            found["distance"] = _short(row["nearest_distance"])
    return found


def _patch(
    row: Mapping[str, Any], which: str, image: str, grid: tuple[int, int], pictures: Pictures
) -> Json:
    patch = Patch(row[f"{which}_row"], row[f"{which}_column"], grid)
    return {
        "name": image,
        "row": patch.row,
        "column": patch.column,
        "grid": grid,
        "box": [round(share, 4) for share in patch.box()],
        "crop": pictures.crop(image, patch),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
