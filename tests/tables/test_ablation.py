"""The table of one detector with several settings."""

from collections.abc import Callable
from typing import Any

from apc_bench.results.reading import read_results
from apc_bench.tables.ablation import ablation

Make = Callable[..., Any]


def test_an_ablation_names_the_settings_that_differ(make_run: Make) -> None:
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin"},
        "one": {
            "detector": "patchcore",
            "backbone": "builtin",
            "settings": {"coreset_ratio": 0.01, "layers": ["layer3"]},
        },
        "apc": {"detector": "apc", "backbone": "builtin"},
    }
    run = make_run(methods=methods, detail=False)
    table = ablation(read_results(run))
    assert table is not None
    assert [row.cells[3].text for row in table.rows] == [
        "layers layer2+layer3, coreset_ratio 0.1",
        "layers layer3, coreset_ratio 0.01",
    ]
    assert ablation(read_results(make_run(detail=False))) is None
