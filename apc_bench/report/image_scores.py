"""Every image's score as CSV, a file a category: for those who rank, threshold or plot for
themselves.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from apc_bench.errors import ApcError
from apc_bench.report.drilldown import shown_seeds
from apc_bench.report.figure_style import file_name
from apc_bench.report.parallel import Task
from apc_bench.results.aggregate import TEST, Results
from apc_bench.results.run_reader import RunReader

_LEFT_OUT = ("seconds", "resized_height", "resized_width", "top", "left")


def score_tasks(results: Results, folder: Path) -> list[Task]:
    """The work of `write_scores`, a category each, for drawing.perform."""
    return [partial(write_scores, category, folder) for category in results.categories]


def write_scores(category: str, folder: Path, results: Results, run: RunReader) -> str | None:
    """Writes `folder/CATEGORY.csv`, a row an image and trial, of the seeds that the page shows:
    test set, drawn, reserved and calibration images, as `split` says, with the calibrated
    threshold. Returns the file's name; None where no scores can be read.
    """
    found = list(_tables(category, results, run))
    if not found:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{file_name(category)}.csv"
    pl.concat(found).write_csv(folder / name)
    return name


def _tables(category: str, results: Results, run: RunReader) -> Iterator[pl.DataFrame]:
    shown = shown_seeds(results)
    for system in results.systems:
        for seed in (seed for seed in system.seeds if seed in shown):
            trial = results.trials[system, category, seed]
            if trial.result_key is None:
                continue
            try:
                table = run.scores(trial.result_key)
            except ApcError:
                continue
            threshold = pl.lit(trial.rows[TEST]["threshold"], pl.Float64).alias("threshold")
            place = [
                pl.lit(value).alias(name)
                for name, value in (
                    ("category", category),
                    ("system", system.title),
                    ("shots", system.shots),
                    ("seed", seed),
                )
            ]
            yield (
                table.drop(_LEFT_OUT, strict=False)
                .sort("split", "image")
                .select(*place, pl.all(), threshold)
            )
