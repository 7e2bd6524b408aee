"""Gains by category, paired by seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from apc_bench.report.gain_heatmap import heatmap_figure
from apc_bench.results.reading import read_results
from apc_bench.tables.by_shots import by_shots
from apc_bench.tables.gains import PALE, gain, gain_summaries, gains

Make = Callable[..., Any]


def test_a_gain_is_paired_by_seed(make_run: Make) -> None:
    run = make_run(detail=False)
    run.drop("apc", "weave", 5, 1)
    results = read_results(run)
    system = results.systems[2]
    seeds = (0, 2)
    wanted = 100 * np.array(
        [
            run.value("apc", "weave", 5, n, "image_auroc")
            - run.value("patchcore", "weave", 0, n, "image_auroc")
            for n in seeds
        ]
    )
    found = gain(results, system, "weave", "image_auroc")
    assert found is not None
    assert (found.points, found.sd, found.seeds) == (
        pytest.approx(wanted.mean()),
        pytest.approx(wanted.std(ddof=1)),
        2,
    )


def test_where_a_method_helps_and_hurts_is_said_beyond_its_spread(make_run: Make) -> None:
    run = make_run(categories=("down", "noise", "up", "up2"), detail=False)
    shift = {
        "down": [-0.1] * 3,
        "up": [0.05] * 3,
        "up2": [0.08, 0.1, 0.12],
        "noise": [-0.1, 0.0, 0.15],
    }
    for row in run.metric_rows:
        for metric in ("image_auroc", "pixel_auroc"):
            row[metric] = 0.8 + (
                shift[row["category"]][row["seed"]] if row["method"] == "apc" else 0.0
            )
    image, pixel = gain_summaries(read_results(run))
    assert (image.system.shots, image.metric, pixel.metric) == (10, "image_auroc", "pixel_auroc")
    assert [name for name, _ in image.helps] == ["up2", "up"]
    assert [name for name, _ in image.hurts] == ["down"]
    assert [name for name, _ in image.unclear] == ["noise"]


def test_gains_are_coloured_by_their_sign_and_pale_within_their_spread(make_run: Make) -> None:
    run = make_run(categories=("down", "noise", "up"), shots=(10,), detail=False)
    shift = {"down": [-0.1, -0.11, -0.12], "up": [0.22] * 3, "noise": [-0.2, 0.0, 0.35]}
    for row in run.metric_rows:
        gain_ = shift[row["category"]][row["seed"]] if row["method"] == "apc" else 0.0
        row |= {"image_auroc": 0.6 + gain_, "pixel_auroc": 0.6}
    table = gains(read_results(run))
    assert table is not None
    heats = {
        row.cells[0].text: row.cells[2].heat for row in table.rows if row.block == "image_auroc"
    }
    assert heats["up"] == pytest.approx(1)  # 22 points, the largest beyond its spread
    assert heats["down"] == pytest.approx(-0.5)
    assert heats["noise"] == pytest.approx(PALE * 5 / 22)
    colour = next(note.text for note in table.notes if note.label == "Colour")
    assert colour.endswith("pale where the gain lies within its spread over seeds")


def test_without_a_baseline_or_another_system_there_are_no_gains(make_run: Make) -> None:
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin"}}
    results = read_results(make_run(methods=only, detail=False))
    assert (
        gains(results),
        heatmap_figure(results),
        gain_summaries(results),
        by_shots(results),
    ) == (
        None,
        None,
        [],
        None,
    )
