"""One trial's maps and scores on the scale that all pictures of a report share."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.errors import ApcError
from apc_bench.results.aggregate import TEST, System, Trial
from apc_bench.results.run_reader import RunReader

COLOURS = "inferno"
LOW, HIGH = -2, 4
"""The one colour scale of all maps, with 1, the calibrated threshold, in its middle."""

SCALE = (
    "Colours: each system's scores are measured in its own calibration scores (0: their median, 1:"
    " {one}), then all maps share one scale, clipped at −2 and 4. Maps are on the detector's grid,"
    " before the smoothing of the pixel metrics; the line is the mask's outline"
)


@dataclass(frozen=True, slots=True, eq=False)
class ScaledMaps:
    """One trial in pictures. `table`: its scores (schemas.SCORES), unscaled like `threshold`;
    `maps`: image -> (rows, columns) float32, scaled; `scores`: image -> image score, scaled; `one`:
    what 1 is, in words.
    """

    system: System
    table: pl.DataFrame
    threshold: float | None
    maps: Mapping[str, NDArray[np.float32]]
    scores: Mapping[str, float]
    one: str

    def score(self, image: str) -> float:
        """An image's scaled score as it is shown: two decimals, no negative zero."""
        return round(self.scores[image], 2) + 0.0


def read_scaled_maps(
    system: System,
    trial: Trial | None,
    run: RunReader,
    only: Collection[str] | None = None,
    table: pl.DataFrame | None = None,
) -> ScaledMaps | None:
    """A trial's scores and maps, scaled; None where there is no such trial, or one whose files
    cannot be read. `only`: keep the maps of these images, so that many trials side by side stay
    small. `table`: the scores, where they have been read.
    """
    if trial is None or trial.result_key is None:
        return None
    try:
        table = run.scores(trial.result_key) if table is None else table
        names, maps = run.maps(trial.result_key)
    except ApcError:
        return None
    threshold: float | None = trial.rows[TEST]["threshold"]
    zero, unit, one = _scale(table, threshold)
    scored = table.select("image", "score").drop_nulls()  # of a learned image there may be none
    scores = {image: (score - zero) / unit for image, score in scored.iter_rows()}
    kept = {
        name: (map_ - zero) / unit
        for name, map_ in zip(names, maps, strict=True)
        if only is None or name in only
    }
    return ScaledMaps(system, table, threshold, kept, scores, one)


def _scale(table: pl.DataFrame, threshold: float | None) -> tuple[float, float, str]:
    """What is drawn as 0, the width of one unit, and what 1 is: the first of the known references
    that lies above 0.
    """
    calibration, test = (
        table.filter(pl.col("split") == split)["score"].to_numpy()
        for split in ("calibration", "test")
    )
    zero = float(np.median(calibration if len(calibration) else test))
    references = [(threshold, "the calibrated threshold")]
    if len(calibration):
        references.append((float(calibration.max()), "the largest calibration score"))
    if len(test):
        references.append((float(test.max()), "the largest test score"))
    for value, words in references:
        if value is not None and value > zero:
            return zero, value - zero, words
    return zero, 1.0, "one unit of the score"
