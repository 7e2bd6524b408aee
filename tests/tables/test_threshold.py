"""The table at the calibrated threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from table_support import rows_of

from apc_bench.results.reading import read_results
from apc_bench.tables.threshold import threshold

Make = Callable[..., Any]
SEEDS = (0, 1, 2)


def test_the_threshold_table_shows_what_was_reached_and_what_was_allowed(make_run: Make) -> None:
    run = make_run(detail=False)
    row = rows_of(threshold(read_results(run)))[0]

    def mean(name: str) -> float:
        return 100 * float(
            np.mean(
                [
                    run.value("patchcore", category, 0, seed, name)
                    for category in ("granite", "weave")
                    for seed in SEEDS
                ]
            )
        )

    assert row["f1_percent"] == pytest.approx(mean("f1_calibrated"))
    assert row["missed_percent"] == pytest.approx(mean("missed_rate"))
    assert row["false_alarms_percent"] == pytest.approx(mean("false_alarm_rate"))
    assert row["false_alarms_low_percent"] == pytest.approx(mean("false_alarm_low"))
    assert row["false_alarms_allowed_percent"] == pytest.approx(5)
