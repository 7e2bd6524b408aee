"""`apc-bench report` on runs of up to 10,000 trials, in a process of its own: seconds, memory, and
how they grow.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figure import Figure, exponent
from bench.many_trials import TRIALS_PER_SEED, planned, with_photos, write_dataset, write_run

TRIALS = (1_000, 3_000, 10_000)


def figures() -> list[Figure]:
    """The whole command, start of Python and gallery included, on one run folder that grows."""
    with tempfile.TemporaryDirectory() as folder:
        data, run, cache = (
            write_dataset(Path(folder) / "data"),
            Path(folder) / "run",
            Path(folder) / "cache",
        )
        seconds, memory, counts = [], [], []
        for trials in TRIALS:
            seeds = -(-trials // TRIALS_PER_SEED)
            write_run(run, planned(data, cache, seeds), cache)
            spent, peak = timed(
                [sys.executable, "-m", "apc_bench", "report", str(run), "--data", str(data)]
            )
            seconds.append(spent)
            memory.append(peak)
            counts.append(seeds * TRIALS_PER_SEED)
        shutil.rmtree(run)
        write_run(run, planned(data, cache, 3, only=("patchcore", "apc")), cache)
        with_photos(
            data
        )  # last: one picture in every place is a leak to a sweep, and the same work to a report
        page, _ = timed(
            [sys.executable, "-m", "apc_bench", "report", str(run), "--data", str(data)]
        )
        size = (run / "report" / "index.html").stat().st_size / 1e6
    how = ", ".join(
        f"{count:,}: {spent:.1f} s, {peak:.2f} GiB"
        for count, spent, peak in zip(counts, seconds, memory, strict=True)
    )
    whole = "report of an MVTec-sized run, 15 categories, 3 shots, 3 seeds, photos of 900 px"
    return [
        Figure(what=whole, value=page, unit="s", at_most=60),
        Figure(what="the same: its page, pictures included", value=size, unit="MB", at_most=60),
        Figure(
            what=f"report on {counts[-1]:,} trials, 15 categories",
            value=seconds[-1],
            unit="s",
            at_most=20,
            how=how,
        ),
        Figure(what="the same: peak memory", value=memory[-1], unit="GiB", at_most=2),
        Figure(
            what="report: exponent in the number of trials",
            value=exponent(counts, seconds),
            unit="",
        ),
    ]


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in GiB of a command, which must succeed."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20
