"""The main job end to end, through the command line, on real files: what a user sees, what lands on
disk, what a second run does.
"""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
from click.testing import Result
from processes import scores_of
from support import apc_bench

from apc_bench.datasets.split import make_split
from apc_bench.errors import DataError
from apc_bench.report import page_since
from apc_bench.runner import prepare
from apc_bench.store import attempts, known_files
from apc_bench.store.known_files import KNOWN
from apc_bench.store.run import Run

TINY = ("sweep", "--job", "tiny", "--executor", "serial")

NO_PAGE = "--no-page"
"""Where a test is not about the page, of which each drawing takes seconds."""


def sweep(run: Path, cache: Path, *options: object, code: int = 0) -> Result:
    return apc_bench(*TINY, "--run", run, "--cache", cache, *options, code=code)


def maps_of(run: Path) -> pl.DataFrame:
    return pl.read_parquet(f"{run}/maps/**/*.parquet", hive_partitioning=True).sort(
        "category", "method", "shots", "seed", "image"
    )


def times_of_metrics(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (run / "metrics").rglob("*.parquet")}


def times_of_files(run: Path) -> dict[Path, int]:
    """Of all but run.json, the sweep's hold on the folder and what it remembers."""
    of_the_sweep = (run / name for name in ("run.json", ".holder.json", ".lock", KNOWN))
    files = {path for path in run.rglob("*") if path.is_file()} - {*of_the_sweep}
    return {path: path.stat().st_mtime_ns for path in files}


def test_every_planned_trial_is_there_and_the_frozen_baseline_ran_once_per_category_and_seed(tiny):
    metrics = Run.open(tiny).metrics().filter(pl.col("subset") == "test")
    counts = dict(metrics.group_by("method").len().iter_rows())
    assert counts == {"patchcore": 2 * 2, "apc": 2 * 3 * 2}
    log = attempts.read_attempts(tiny / "attempts")
    starts = [attempt.step for attempt in log if attempt.event == attempts.START]
    assert len([step for step in starts if "score patchcore" in step]) == 2 * 2
    assert set(metrics.filter(pl.col("method") == "patchcore")["shots"]) == {0}


def test_the_same_sweep_in_two_folders_gives_the_same_bits_with_a_page_and_without(tiny, place):
    again = sweep(place / "again", place / "other-cache", "--features", "bank", NO_PAGE)
    assert "AUROC_im" in again.output and "do 4 defect photos help?" in again.output
    assert not (place / "again" / "report").exists()
    assert f"the page is left to `apc-bench report {place / 'again'}`" in again.output.splitlines()
    assert scores_of(tiny).equals(scores_of(place / "again"))
    assert maps_of(tiny).equals(maps_of(place / "again"))
    keys, others = (
        {path.stem for path in times_of_metrics(run)} for run in (tiny, place / "again")
    )
    assert keys == others


def test_running_the_same_command_again_does_nothing(tiny, place):
    before = times_of_files(tiny)
    started = len(attempts.read_attempts(tiny / "attempts"))
    result = sweep(tiny, place / "cache", "--features", "bank")
    assert "0 steps done, 28 were done before" in result.output
    assert "PatchCore " in result.output
    assert f"page: {tiny / 'report' / 'index.html'}" in result.output.replace("\n", "")
    assert times_of_files(tiny) == before
    assert len(attempts.read_attempts(tiny / "attempts")) == started


def test_what_a_sweep_has_verified_it_does_not_read_again_nor_split_again(tiny, place, monkeypatch):
    sweep(tiny, place / "cache", "--features", "bank")
    splits: list[int] = []

    def counted(*given: object, **named: object) -> object:
        splits.append(1)
        return make_split(*given, **named)

    monkeypatch.setattr(known_files, "file_sha256", None)  # whoever calls it fails
    monkeypatch.setattr(prepare, "make_split", counted)
    result = sweep(tiny, place / "cache", "--features", "bank")
    assert "0 steps done, 28 were done before" in result.output
    assert len(splits) == 2  # of each category one, and not one a seed


def test_a_split_that_cannot_be_made_leaves_a_run_as_it_is(tiny, place, monkeypatch):
    """A step that is planned and can never be done would be left for ever."""

    def of_early_seeds(*given: object, seed: int, **named: object) -> object:
        if seed > 1:
            raise DataError("too few groups")
        return make_split(*given, seed=seed, **named)

    before, info = times_of_files(tiny), (tiny / "run.json").read_text()
    monkeypatch.setattr(prepare, "make_split", of_early_seeds)
    more = ("--features", "bank", "--seeds", "0,1,2")
    assert "too few groups" in sweep(tiny, place / "cache", *more, code=2).output
    assert "too few groups" in sweep(tiny, place / "cache", *more, "--dry-run", code=2).output
    assert "too few groups" in sweep(place / "none", place / "cache", *more, code=2).output
    assert times_of_files(tiny) == before
    assert (tiny / "run.json").read_text() == info
    assert not (place / "none").exists()


def test_a_report_that_is_lost_or_older_than_results_or_version_is_made_by_the_next_sweep(
    tiny, place
):
    page, mark = tiny / "report" / "index.html", tiny / "report" / ".apc-bench-report"
    page.unlink()
    sweep(tiny, place / "cache", "--features", "bank")
    assert page.read_text().startswith("<!doctype html>")
    data = Run.open(tiny).info.data
    ended = attempts.last_written(tiny / "attempts")
    assert page_since(tiny, data, ended) == page
    assert page_since(tiny, None, ended) is None  # without images it is another
    stat = mark.stat()
    os.utime(mark, ns=(0, ended))
    assert page_since(tiny, data, ended) is None
    os.utime(mark, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sound = mark.read_text()
    mark.write_text("made by apc-bench 0.0.1\n")
    assert page_since(tiny, data, ended) is None
    mark.write_text(sound)


def test_a_damaged_split_is_written_anew(tiny, place):
    victim = sorted((tiny / "splits").rglob("*.parquet"))[0]
    sound = victim.read_bytes()
    victim.write_bytes(sound[: len(sound) // 2])
    sweep(tiny, place / "cache", "--features", "bank")
    assert victim.read_bytes() == sound


def test_seeds_shots_and_methods_are_added_to_a_run(place):
    run, cache = place / "grown", place / "cache"
    sweep(run, cache, NO_PAGE, "--seeds", "0", "--shots", "1", "--methods", "patchcore")
    more = ("--seeds", "0,1", "--shots", "1,2", "--categories", "washer")
    result = sweep(run, cache, NO_PAGE, *more)
    assert "1 were done before" in result.output
    metrics = Run.open(run).metrics().filter(pl.col("subset") == "test")
    assert len(metrics) == 2 + 1 + 4
    assert Run.open(run).info.settings["seeds"] == [0, 1]


def test_a_run_folder_refuses_other_settings_and_says_which(tiny, place):
    result = sweep(tiny, place / "cache", "--image-size", "48", code=2)
    assert "image_size was 32, now 48" in result.output
    assert result.output.count("error:") == 1


def test_an_altered_file_is_named_and_its_trial_alone_is_done_again(tiny, place):
    wanted = scores_of(tiny)
    victim = next((tiny / "scores").rglob("*.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    result = sweep(tiny, place / "cache", "--features", "bank", NO_PAGE)
    assert str(victim) in result.output.replace("\n", "")
    assert "1 step done, 27 were done before" in result.output
    assert scores_of(tiny).equals(wanted)


def test_a_failed_step_is_recorded_and_listed_and_tried_again(place, monkeypatch):
    from apc_bench.detectors.apc import Apc
    from apc_bench.errors import TrainingError

    train = Apc.train

    def fails_for_two_shots(self, data):
        if len(data.anomalous) == 2:
            raise TrainingError("fine-tuning diverged")
        return train(self, data)

    monkeypatch.setattr(Apc, "train", fails_for_two_shots)
    run, options = place / "failing", (NO_PAGE, "--categories", "weave", "--seeds", "0")
    result = sweep(run, place / "cache", *options, code=1)
    assert "FAILED fine-tune apc · weave · 2 shots · seed 0: fine-tuning diverged" in result.output
    assert "2 FAILED" in result.output
    told = apc_bench("status", run).output
    assert "5 of 7 steps done, 0 running, 2 failed, 0 left" in told
    assert "fine-tuning diverged" in told
    monkeypatch.setattr(Apc, "train", train)
    assert "2 steps done, 5 were done before" in sweep(run, place / "cache", *options).output
    assert "7 of 7 steps done, 0 running, 0 failed, 0 left" in apc_bench("status", run).output


def test_a_new_process_gives_the_same_bits(tiny, place):
    """What the driver and earlier tests left in memory must not matter."""
    options = (NO_PAGE, "--categories", "washer", "--seeds", "1", "--features", "bank")
    places = ("--run", place / "fresh", "--cache", place / "fresh-cache")
    command = [sys.executable, "-m", "apc_bench", *TINY, *options, *map(str, places)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    mine = scores_of(tiny).filter((pl.col("category") == "washer") & (pl.col("seed") == 1))
    assert scores_of(place / "fresh").equals(mine)
