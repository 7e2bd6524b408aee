"""Anomaly maps for other tools: float TIFF at the size of the original images, in the layout of
MVTec AD's own evaluation script.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from apc_bench.errors import UsageError
from apc_bench.export.chosen import ExportedTrials, result_key_of
from apc_bench.export.folder import new_folder
from apc_bench.metrics.controlled import LEARNED
from apc_bench.metrics.evaluation import pixel_scores
from apc_bench.results.aggregate import Results
from apc_bench.results.run_reader import RunReader
from apc_bench.wording import counted

FILL = "the smallest value of the category's maps"
SCORE_COLUMNS = ("image", "defect_type", "label", "split", "score")
"""Columns of the run's scores that scores.csv has beside the category."""


class MapReader(RunReader, Protocol):
    """A reader that also says what its maps are (store/run.py)."""

    def map_metadata(self, result_key: str) -> dict[str, str]:
        """The metadata of a trial's maps."""
        ...


def export_maps(
    results: Results, run: MapReader, trials: ExportedTrials, out: Path
) -> Iterator[str]:
    """Writes OUT/CATEGORY/test/TYPE/NAME.tiff of every image that has a map, OUT/scores.csv and
    OUT/export.json; says what, and of how many images a system has learned from, a line a category.

    Raises UsageError where `out` holds anything or two images would be one file, RunError where a
    trial has no result, StorageError.
    """
    keys = {
        category: result_key_of(results, trials.system, category, trials.seed)
        for category in trials.categories
    }
    scores, exported = [], {}
    where = f"{results.seed_words[0]} {trials.seed}"
    with new_folder(out) as folder:
        for category, key in keys.items():
            table = run.scores(key).filter(pl.col("split") != LEARNED)  # which may have no score
            exported[category] = _export_category(run, key, table, folder / category)
            scores.append(table.select(pl.lit(category).alias("category"), *SCORE_COLUMNS))
            made, learned = exported[category]["maps"], exported[category]["learned_from"]
            seen = f", {learned} of them of images that it learned from" if learned else ""
            yield f"{category}: {counted(made, 'map')} of {trials.system.label}, {where}{seen}"
        pl.concat(scores).sort("category", "split", "image").write_csv(folder / "scores.csv")
        about = _about(results, trials, exported)
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (folder / "export.json").write_text(text + "\n", encoding="utf-8")
    yield f"maps: {out}"


def _about(results: Results, trials: ExportedTrials, exported: Mapping[str, Any]) -> dict[str, Any]:
    """What export.json says; `exported`: by category."""
    note = (
        "maps of drawn and reserved images are here too, for tools that want the whole test folder;"
        " scores.csv says which they are"
    )
    return {
        "dataset": results.dataset,
        "system": trials.system.label,
        "method": trials.system.method,
        "shots": trials.system.shots,
        results.seed_words[0]: trials.seed,
        "outside_a_crop": FILL,
        "note": note,
        "categories": exported,
    }


def _export_category(run: MapReader, key: str, table: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """Writes a category's maps; says how many, and how they were made."""
    names, maps = run.maps(key)
    metadata = run.map_metadata(key)
    targets = [(folder / name).with_suffix(".tiff") for name in names]
    if twice := [path for path, count in Counter(targets).items() if count > 1]:
        raise UsageError(
            f"{twice[0]} would hold the maps of several images that differ in their endings only;"
            " rename them"
        )
    size, sigma = int(metadata["image_size"]), float(metadata["sigma"])
    smooth = pixel_scores(maps, size, sigma)
    fill = float(smooth.min(initial=np.inf)) if len(smooth) else 0.0
    rows = {row["image"]: row for row in table.iter_rows(named=True)}
    for name, target, scores in zip(names, targets, smooth, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(at_original_size(scores, rows[name], fill)).save(target)
    about = {"unit": metadata["unit"], "sigma": sigma, "input": size, "fill": fill}
    learned = sum(rows[name]["split"] == "drawn" for name in names)
    return {"maps": len(names), "learned_from": learned, **about}


def at_original_size(
    scores: NDArray[np.float32], placement: Mapping[str, int], fill: float
) -> NDArray[np.float32]:
    """(s, s) float32 in the input -> (height, width) of the original image, bilinear; `fill` where
    the input does not reach.

    `placement`: the fields of images.Placement.
    """
    size = scores.shape[0]
    top, left = placement["top"], placement["left"]
    tall, wide = placement["resized_height"], placement["resized_width"]
    inside = scores[max(top, 0) : min(top + tall, size), max(left, 0) : min(left + wide, size)]
    down, across = placement["height"] / tall, placement["width"] / wide
    first_row, first_column = round(max(-top, 0) * down), round(max(-left, 0) * across)
    rows = min(round(inside.shape[0] * down), placement["height"] - first_row)
    columns = min(round(inside.shape[1] * across), placement["width"] - first_column)
    picture = Image.fromarray(np.ascontiguousarray(inside))
    resized = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR))
    whole = np.full((placement["height"], placement["width"]), fill, np.float32)
    whole[first_row : first_row + rows, first_column : first_column + columns] = resized
    return whole
