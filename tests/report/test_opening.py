"""The trial that the page's pictures open with."""

from collections.abc import Callable
from typing import Any

from apc_bench.report.opening import opening_trial
from apc_bench.results.answer import answers
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def test_the_page_opens_on_a_seed_that_shows_what_the_answer_says(make_run: Make) -> None:
    run = make_run(shots=(10,), seeds=(0, 1, 2), tests=20)
    for key, rows in run.score_rows.items():
        for row in rows:
            if row["split"] == "test" and row["label"]:
                row["score"] = 3.0 if key.startswith("apc-weave") else 1.0
    missed = {0: 0.9, 1: 0.0, 2: 0.2}
    for row in run.metric_rows:
        own = row["method"] == "apc" and row["category"] == "weave"
        row["missed_rate"] = missed[row["seed"]] if own else 0.8
    results = read_results(run)
    told = answers(results, run)
    # weave's change is +100; of its seeds 0 finds less than the baseline, 1 the most
    assert opening_trial(results, told, (0, 1, 2)) == (1, 1, 1)
    assert opening_trial(results, told, (0, 2)) == (1, 1, 2)
    assert opening_trial(results, told, ()) is None
    assert opening_trial(results, [], (0,)) is None
