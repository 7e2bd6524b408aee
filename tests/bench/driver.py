"""The driver of a sweep by itself: its steps do nothing, so that its own time and memory are seen as
the plan grows. Each size runs in a process of its own.

    PYTHONPATH=tests python -m bench.driver 1000 10000 100000
"""

import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from bench.many_trials import TRIALS_PER_SEED, planned, write_dataset
from rich.console import Console

from apc_bench.plan import Step
from apc_bench.runner.driver import run_sweep
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.messages import Outcome, SweepContext
from apc_bench.store.cache import Cache


def _nothing(step: Step, context: SweepContext) -> Outcome:
    return Outcome(True, 0.0)


def measure(data: Path, trials: int) -> str:
    """CPU seconds of the plan, of the sweep's start and of its steps, and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        run, cache = Path(folder) / "run", Path(folder) / "cache"
        started = time.process_time()
        prepared = planned(data, cache, -(-trials // TRIALS_PER_SEED))
        plan = time.process_time() - started
        first: list[float] = []

        def perform(step: Step, context: SweepContext) -> Outcome:
            first[:] = first or [time.process_time()]
            return _nothing(step, context)

        started = time.process_time()
        with mock.patch("apc_bench.runner.driver._perform", perform):
            run_sweep(prepared, run, Cache(cache), Execution("serial"), Console(file=io.StringIO()))
        ended = time.process_time()
        files = sum(path.is_file() for path in run.rglob("*"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"{len(prepared.steps):>7,} steps: plan {plan:.1f} s, start {first[0] - started:.1f} s,"
        f" steps {ended - first[0]:.1f} s of CPU; {memory:.2f} GiB; {files:,} files"
    )


def main() -> None:
    """Prints a line for each number of trials."""
    if sys.argv[1] == "--one":
        print(measure(Path(sys.argv[2]), int(sys.argv[3])), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = write_dataset(Path(folder) / "data")
        for trials in sys.argv[1:]:
            command = [sys.executable, "-m", "bench.driver", "--one", str(data), trials]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
