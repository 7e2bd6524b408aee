"""Every image's score as CSV, a file a category: for those who rank, threshold or plot for
themselves.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from apc_bench.report.figure_style import file_name
from apc_bench.report.parallel import Task
from apc_bench.results.aggregate import TEST, Results
from apc_bench.results.run_reader import RunReader

SEEDS_MAX = 5
"""Seeds of which a report has every image's score; the run folder has all."""

_LEFT_OUT = ("seconds", "resized_height", "resized_width", "top", "left")


def score_tasks(results: Results, folder: Path) -> list[Task]:
    """The work of `write_scores`, a category each, for parallel.performed."""
    return [partial(write_scores, category, folder) for category in results.categories]


def write_scores(category: str, folder: Path, results: Results, run: RunReader) -> str | None:
    """Writes `folder/CATEGORY.csv`, a row an image and trial, of the first SEEDS_MAX seeds: test
    set, drawn, reserved, calibration and learned images, as `split` says, with the threshold.
    Returns the file's name; None where no scores can be read.
    """
    tables = list(_tables(category, results, run))
    if not tables:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{file_name(category)}.csv"
    pl.concat(tables).write_csv(folder / name)
    return name


def _tables(category: str, results: Results, run: RunReader) -> Iterator[pl.DataFrame]:
    trials = {}
    for system in results.systems:
        for seed in results.seeds[:SEEDS_MAX]:
            trial = results.trials.get((system, category, seed))
            if trial is not None and trial.result_key is not None:
                trials[trial.result_key] = (system, seed, trial)
    for key, scores in run.scores_of(list(trials)).items():
        system, seed, trial = trials[key]
        yield (
            scores.drop(_LEFT_OUT, strict=False)
            .sort("split", "image")
            .select(
                pl.lit(category).alias("category"),
                pl.lit(system.title).alias("system"),
                pl.lit(system.shots).alias("shots"),
                pl.lit(seed).alias("seed"),
                pl.all(),
                pl.lit(trial.rows[TEST]["threshold"], pl.Float64).alias("threshold"),
            )
        )
