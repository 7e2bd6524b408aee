"""The table of costs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from table_support import rows_of

from apc_bench.results.reading import read_results
from apc_bench.tables.costs import costs

Make = Callable[..., Any]


def test_costs_are_means_of_trials_and_the_largest_memory(make_run: Make) -> None:
    run = make_run(shots=(10,))
    frozen, tuned = rows_of(costs(read_results(run), run))
    trials = [row for row in run.metric_rows if row["method"] == "apc"]
    assert tuned["seconds_total"] == pytest.approx(
        np.mean([row["seconds_total"] for row in trials])
    )
    assert tuned["peak_memory_mib"] == max(row["peak_memory_mib"] for row in trials)
    images = sum(len(run.score_rows[row["result_key"]]) for row in trials)
    assert tuned["images_per_second"] == pytest.approx(
        images / sum(row["seconds_search"] for row in trials)
    )
    assert (frozen["seconds_finetune"], tuned["seconds_finetune"]) == (None, 12.5)
    assert frozen["peak_gpu_memory_mib"] is None
