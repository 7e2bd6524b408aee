"""What reads runs, on up to 10,000 trials, each command in a process of its own: `report` and how
it grows, `status`, a `sweep` that has nothing left to do, `compare`, `gate`, `history`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figure import Figure, exponent
from bench.many_trials import (
    TRIALS_PER_SEED,
    copy_run,
    planned,
    with_photos,
    write_dataset,
    write_job,
    write_run,
)

TRIALS = (1_000, 3_000, 10_000)
NIGHTS, KINDS_OF_NIGHT = 100, 10
NIGHT_SEEDS, NIGHT_CATEGORIES = 3, 12
FIRST_NIGHT = datetime(2026, 1, 1, tzinfo=UTC)
APC_BENCH = (sys.executable, "-m", "apc_bench")


def figures() -> list[Figure]:
    """The whole commands, start of Python and gallery included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, job = write_dataset(folder / "data"), write_job(folder / "many.yaml")
        return [
            *_large_run(folder, data, job),
            *_history(folder, data),
            *_with_photos(folder, data),
        ]


def _large_run(folder: Path, data: Path, job: Path) -> Iterator[Figure]:
    """One run folder that grows, then all that reads it."""
    run, cache = folder / "run", folder / "cache"
    seconds, memory, counts = [], [], []
    for trials in TRIALS:
        seeds = -(-trials // TRIALS_PER_SEED)
        write_run(run, planned(data, cache, seeds, job=job), cache)
        spent, peak = timed([*APC_BENCH, "report", str(run), "--data", str(data)])
        seconds.append(spent)
        memory.append(peak)
        counts.append(seeds * TRIALS_PER_SEED)
    how = ", ".join(
        f"{count:,}: {spent:.1f} s, {peak:.2f} GiB"
        for count, spent, peak in zip(counts, seconds, memory, strict=True)
    )
    size = f"{counts[-1]:,} trials"
    yield Figure(
        what=f"report on {size}, 15 categories", value=seconds[-1], unit="s", at_most=20, how=how
    )
    yield Figure(what="the same: peak memory", value=memory[-1], unit="GiB", at_most=2)
    growth = exponent(counts, seconds)
    yield Figure(what="report: exponent in the number of trials", value=growth, unit="")
    yield _command(f"status of {size}", 2, "status", run)
    yield _finished_sweep(size, data, job, run, cache, seeds)
    other = copy_run(run, folder / "other", FIRST_NIGHT.isoformat())
    yield _command(f"compare of two runs of {size}", 20, "compare", run, other)
    yield _command(f"gate of two runs of {size}", 20, "gate", run, "--against", other)
    shutil.rmtree(other)
    shutil.rmtree(run)


def _command(what: str, at_most: float, *words: object) -> Figure:
    spent, peak = timed([*APC_BENCH, *map(str, words)])
    return Figure(what=what, value=spent, unit="s", at_most=at_most, how=f"{peak:.2f} GiB")


def _finished_sweep(size: str, data: Path, job: Path, run: Path, cache: Path, seeds: int) -> Figure:
    """The same command on a finished run: until it says that all is done, and until its end."""
    words = ["--job", job, "--data", data, "--run", run, "--cache", cache, "--device", "cpu"]
    words += ["--executor", "serial", "--seeds", ",".join(map(str, range(seeds)))]
    started, said = time.perf_counter(), 0.0
    command = [*APC_BENCH, "sweep", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "of them done already" in line:
                said = time.perf_counter() - started
            if "left" in line:
                raise RuntimeError(f"the sweep is not finished: {line}")
    if process.returncode or not said:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    how = f"its end, with the table: {time.perf_counter() - started:.1f} s"
    what = f"sweep on a finished run of {size}: until it says so"
    return Figure(what=what, value=said, unit="s", at_most=5, how=how)


def _history(folder: Path, data: Path) -> Iterator[Figure]:
    """Nights of which ten differ; the others are these again, by hard links."""
    cache, nights = folder / "cache", folder / "nights"
    nights.mkdir()
    categories = tuple(sorted(path.name for path in data.iterdir()))[:NIGHT_CATEGORIES]
    prepared = planned(data, cache, NIGHT_SEEDS, categories=categories)
    trials = NIGHT_SEEDS * TRIALS_PER_SEED // 15 * len(categories)
    for kind in range(KINDS_OF_NIGHT):
        written = folder / "night"
        write_run(written, prepared, cache)
        for number in range(kind, NIGHTS, KINDS_OF_NIGHT):
            begun = FIRST_NIGHT + timedelta(days=number)
            copy_run(written, nights / f"{begun:%Y-%m-%d}", begun.isoformat())
        shutil.rmtree(written)
    yield _command(f"history of {NIGHTS} nights of {trials} trials", 20, "history", nights)


def _with_photos(folder: Path, data: Path) -> Iterator[Figure]:
    """Last: one picture in every place is a leak to a sweep, and the same work to a report."""
    run, cache = folder / "run", folder / "cache"
    write_run(run, planned(data, cache, 3, only=("patchcore", "apc")), cache)
    with_photos(data)
    page, _ = timed([*APC_BENCH, "report", str(run), "--data", str(data)])
    whole = "report of an MVTec-sized run, 15 categories, 3 shots, 3 seeds, photos of 900 px"
    yield Figure(what=whole, value=page, unit="s", at_most=60)
    size = (run / "report" / "index.html").stat().st_size / 1e6
    yield Figure(what="the same: its page, pictures included", value=size, unit="MB", at_most=60)


MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small process starts the command: a child counts its parent's memory, until it becomes another
program, as its own.
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in GiB of a command, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}")
    return time.perf_counter() - started, int(done.stdout) / 2**20
