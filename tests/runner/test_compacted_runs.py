"""A sweep and the other commands on a compacted run: they say what they said, and go on."""

import shutil
import sys
from pathlib import Path

import pytest
from processes import scores_of
from support import apc_bench

from apc_bench.errors import StorageError
from apc_bench.runner import driver
from apc_bench.store import compaction
from apc_bench.store.run import Run

TINY = ("sweep", "--job", "tiny", "--executor", "serial", "--features", "bank")


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def small(run: Path) -> int:
    kinds = ("scores", "metrics", "curves")
    paths = [path for kind in kinds for path in (run / kind).rglob("*.parquet")]
    return sum(not path.name.startswith("compacted-") for path in paths)


@pytest.fixture(scope="module")
def compacted(tiny, place) -> Path:
    run = Path(shutil.copytree(tiny, place / "compacted"))
    told = apc_bench("compact", run).output
    assert told.startswith("compacted 48 files (") and "into 6 (" in told
    return run


def test_every_command_says_of_a_compacted_run_what_it_said(tiny, compacted, place):
    assert apc_bench("status", compacted).output == apc_bench("status", tiny).output
    untouched = Path(shutil.copytree(tiny, place / "untouched"))
    for command in (("compare", tiny), ("gate", tiny, "--against")):
        told, wanted = (apc_bench(*command, run).output for run in (compacted, untouched))
        assert told.replace("compacted", "untouched") == wanted
    chosen = ("--method", "apc", "--shots", "2", "--seed", "1")
    for run in (tiny, compacted):
        apc_bench("export", run, place / f"maps of {run.name}", *chosen)
    assert files(place / "maps of tiny") == files(place / "maps of compacted")
    shutil.rmtree(compacted / "report")
    apc_bench("report", compacted)
    for kind in ("tables", "scores", "plots"):
        assert files(compacted / "report" / kind) == files(tiny / "report" / kind)


def full_disk(*_: object) -> None:
    raise StorageError("scores: No space left on device")


def test_a_sweep_goes_on_in_a_compacted_run_and_compacts_large_ones(
    tiny, compacted, place, monkeypatch
):
    monkeypatch.setattr(sys.modules["apc_bench.cli.sweep"], "show", lambda *_, **__: Path("report"))
    command = (*TINY, "--run", compacted, "--cache", place / "cache")
    wanted = scores_of(tiny)
    shutil.rmtree(compacted / "maps" / "synthetic" / "weave" / "patchcore")
    monkeypatch.setattr(driver, "COMPACTED_FROM", 3)
    assert "2 steps done, 26 were done before" in apc_bench(*command).output
    assert small(compacted) == 3 * 2
    assert scores_of(compacted).equals(wanted)
    monkeypatch.setattr(driver, "COMPACTED_FROM", 2)
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_compacted", full_disk)
        told = apc_bench(*command).output
    assert "not compacted, and nothing is lost: scores: No space left on device" in told
    assert scores_of(compacted).equals(wanted)
    assert small(compacted) == 3 * 2
    assert "0 steps done, 28 were done before" in apc_bench(*command).output
    assert small(compacted) == 0
    assert scores_of(compacted).equals(wanted)
    assert len(Run.open(compacted).metrics()) == len(Run.open(tiny).metrics())
