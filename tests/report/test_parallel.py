from collections.abc import Callable
from pathlib import Path
from typing import Any

from apc_bench.report.curves import curves_tasks
from apc_bench.report.parallel import performed
from apc_bench.report.shots_plots import shots_tasks
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run

Make = Callable[..., Any]


def test_processes_side_by_side_draw_the_same_bytes(make_run: Make, tmp_path: Path) -> None:
    run = make_run(detail=False)
    results, reader = read_results(run), Run(tmp_path / "nothing stored")
    for folder, processes in (("inline", 1), ("beside", 2)):
        shots, curves = (
            shots_tasks(results, tmp_path / folder),
            curves_tasks(results, tmp_path / folder),
        )
        tasks = [*shots.values(), *curves.values()]
        with performed(tasks, results, reader, processes=processes) as done:
            drawn = list(done)
        assert drawn == [True] * len(shots) + [False] * len(curves)
    files = sorted(path.name for path in (tmp_path / "inline").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "beside").iterdir())
    assert len(files) == 2 * len(shots) + 1  # the mean as PNG too
    assert all(
        (tmp_path / "inline" / name).read_bytes() == (tmp_path / "beside" / name).read_bytes()
        for name in files
    )
