"""Many small files folded into a few: the same rows for every reader before, after, half-way and
after a death at any moment, and each trial still by itself.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from store_support import SPOILT, TRIALS, TUNING, file_of, result_of

from apc_bench.errors import DamagedFile, RunError
from apc_bench.files.hashing import file_sha256
from apc_bench.store import compacted, compaction, placing, result_tables
from apc_bench.store.compacted import KINDS, compacted_in, open_compacted
from apc_bench.store.files import write_table
from apc_bench.store.run import Run
from apc_bench.store.schemas import SCHEMA_VERSION

KEYS = [step.result_key for step in TRIALS]
ALL = {TUNING.result_key, *KEYS}
MOMENTS = 20


def in_polars(path: Path, kind: str) -> pl.DataFrame:
    """The rows as docs/run-folder.md has them read, in an order of their own."""
    frame = pl.read_parquet(f"{path}/{kind}/**/*.parquet")
    key = [pl.col(name).cast(pl.String) for name in ("category", "method", "seed")]
    return frame.sort(*key, frame.columns[-4], frame.columns[5])


def rows_of(run: Run) -> list[pl.DataFrame]:
    """What the store's own reader finds, one by one and all at once."""
    many = [run.scores_of(KEYS), run.curves_of(KEYS, ["y", "level"])]
    single = [read(key) for read in (run.scores, run.curves) for key in KEYS]
    assert run.image_counts(KEYS) == dict.fromkeys(KEYS, 4)
    return [run.metrics(), *single, *(found[key] for found in many for key in KEYS)]


def same(found: list[pl.DataFrame], wanted: list[pl.DataFrame]) -> bool:
    return len(found) == len(wanted) and all(map(pl.DataFrame.equals, found, wanted))


def small_files(run: Run) -> list[Path]:
    files = [path for kind in KINDS for path in (run.path / kind).rglob("*.parquet")]
    return [path for path in files if not path.name.startswith("compacted-")]


def folded(run: Run) -> Run:
    """The run compacted, as another process opens it."""
    with run.lock():
        run.compact()
    return Run.open(run.path)


def file_in(run: Run, kind: str, category: str) -> Path:
    (path,) = compacted_in(run.path / kind / "d" / category)
    return path


def test_every_reader_finds_the_same_rows_before_after_and_half_way(run):
    ours = rows_of(run)
    before = {kind: in_polars(run.path, kind) for kind in KINDS}
    with run.lock():
        done = run.compact()
    assert (done.gone, done.came) == (3 * 4, 3 * 2)
    assert "compacted 12 files" in done.line()
    for reader in (run, Run.open(run.path)):
        assert same(rows_of(reader), ours)
        assert reader.done([TUNING, *TRIALS]) == ALL
    for kind in KINDS:
        assert in_polars(run.path, kind).equals(before[kind])
        rows = duckdb.sql(f"select * from read_parquet('{run.path}/{kind}/**/*.parquet')").pl()
        assert len(rows) == len(before[kind])
    assert small_files(run) == []
    again = replace(TRIALS[1], result_key="k5", trial_id="t5", seed=7)
    run.planned.add([again])
    run.trials.write(again, result_of(again))
    assert len(in_polars(run.path, "scores")) == 4 * 5
    assert len(run.metrics()) == 5
    assert run.scores("k5").equals(pl.from_arrow(result_of(again).scores))
    assert len(folded(run).metrics()) == len(in_polars(run.path, "metrics")) == 5
    assert small_files(run) == []
    assert run.damaged == []


def test_a_run_that_is_compacted_twice_is_left_alone(run):
    folded(run)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.parquet")}
    with run.lock():
        assert "nothing to compact" in run.compact().line()
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.parquet")} == before


def test_a_trial_in_a_compacted_file_is_still_the_file_that_its_metrics_name(run, tmp_path):
    """Written out again, it has the very bytes."""
    named = KINDS[1:]
    hashes = {(kind, key): file_sha256(file_of(run, kind, key)) for kind in named for key in KEYS}
    folded(run)
    for kind in named:
        for category in ("01", "02"):
            file = open_compacted(file_in(run, kind, category))
            parts = list(file.parts.values())
            for part, table in zip(parts, file.tables(parts), strict=True):
                known = dict(part.small.metadata)
                schema = int(known.pop("schema"))
                write_table(tmp_path / "small.parquet", table, known, schema)
                own = hashes.pop((kind, known["result_key"]))
                assert file_sha256(tmp_path / "small.parquet") == own == part.small.sha256
    assert hashes == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_page_costs_the_trials_of_its_row_group_and_the_next_sweep_redoes_them(
    run, kind, monkeypatch
):
    monkeypatch.setattr(compacted, "_ROWS_A_GROUP", 1)  # a row group a trial
    wanted = rows_of(run)
    path = file_in(folded(run), kind, "02")
    column = pq.ParquetFile(path).metadata.row_group(1).column(7)
    data = bytearray(path.read_bytes())
    data[column.file_offset or column.data_page_offset] ^= 255
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 255
    path.write_bytes(data)
    reader = Run.open(run.path)
    assert reader.done(TRIALS) == {"k1", "k2", "k3"}
    assert [str(path) in line for line in reader.damaged] == [True]
    if kind == "metrics":
        assert reader.metrics()["result_key"].to_list() == ["k1", "k2", "k3"]
    else:
        assert list(getattr(reader, f"{kind}_of")(KEYS)) == ["k1", "k2", "k3"]
        with pytest.raises(DamagedFile, match=path.name):
            getattr(reader, kind)("k4")
    with reader.lock():
        reader.compaction.take_out([TRIALS[3]])
        assert Run.open(run.path).done(TRIALS) == {"k1", "k2", "k3"}
        reader.trials.write(TRIALS[3], result_of(TRIALS[3]))
    assert same(rows_of(Run.open(run.path)), wanted)
    assert len(in_polars(run.path, kind)) == 4 * (4 if kind == "scores" else 1)
    assert same(rows_of(folded(run)), wanted)


@pytest.mark.parametrize("how", ["empty", "cut", "altered"])
def test_a_compacted_file_that_cannot_be_opened_is_named_and_its_category_alone_is_redone(run, how):
    wanted = rows_of(run)
    path = file_in(folded(run), "scores", "02")
    SPOILT[how](path)
    if how == "altered":  # pages alone, in such a small file: the footer too
        path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    reader = Run.open(run.path)
    assert reader.done(TRIALS) == {"k1", "k2"}
    assert str(path) in "\n".join(reader.damaged)
    with reader.lock():
        reader.compaction.take_out(TRIALS[2:])
        for step in TRIALS[2:]:
            reader.trials.write(step, result_of(step))
    assert same(rows_of(Run.open(run.path)), wanted)
    assert {len(in_polars(run.path, kind)) for kind in ("metrics", "curves")} == {4}


def test_a_trial_that_is_done_again_for_another_file_is_there_once(run):
    file_of(folded(run), "maps", "k3").unlink()
    reader = Run.open(run.path)
    assert reader.done(TRIALS) == {"k1", "k2", "k4"}
    with reader.lock():
        reader.compaction.take_out([TRIALS[2]])
        reader.trials.write(TRIALS[2], result_of(TRIALS[2]))
    assert Run.open(run.path).done(TRIALS) == set(KEYS)
    assert len(in_polars(run.path, "scores")) == 16
    assert folded(run).done(TRIALS) == set(KEYS)
    assert len(in_polars(run.path, "scores")) == 16


def test_what_is_damaged_or_unfinished_stays_as_it_is(run):
    SPOILT["altered"](file_of(run, "scores", "k3"))
    file_of(run, "metrics", "k4").unlink()
    left = {file_of(run, "scores", "k3"), *(file_of(run, kind, "k4") for kind in KINDS[1:])}
    after = folded(run)
    assert set(small_files(run)) == left
    assert after.done(TRIALS) == {"k1", "k2"}
    assert [str(file_of(run, "scores", "k3")) in line for line in run.damaged] == [True]


def test_large_files_are_left_alone_and_small_ones_merged(run, monkeypatch):
    monkeypatch.setattr(compaction, "MOST_TRIALS", 2)
    full = file_in(folded(run), "scores", "02")
    steps = [replace(TRIALS[2], result_key=f"k{n}", trial_id=f"t{n}", seed=n) for n in range(5, 8)]
    run.planned.add(steps)
    for step in steps:
        run.trials.write(step, result_of(step))
        folded(run)
    files = {path: len(open_compacted(path).parts) for path in compacted_in(full.parent)}
    assert files.pop(full) == 2
    assert sorted(files.values()) == [1, 2]
    assert len(in_polars(run.path, "scores")) == 4 * 7


def test_a_file_that_is_folded_while_it_is_opened_is_read_all_the_same(run, monkeypatch):
    wanted, read, one_at_a_time = rows_of(run), result_tables.read_result, Lock()
    for look in (rows_of, lambda reader: reader.metrics()):
        shutil.rmtree(run.path.parent / "copy", ignore_errors=True)
        copy = Run.open(Path(shutil.copytree(run.path, run.path.parent / "copy")))

        def late(*arguments, _copy=copy, **named):
            with one_at_a_time:
                if small_files(_copy):
                    folded(_copy)
            return read(*arguments, **named)

        monkeypatch.setattr(result_tables, "read_result", late)
        found = look(copy)
        assert same(found, wanted) if isinstance(found, list) else found.equals(wanted[0])
        assert copy.damaged == []


def test_whoever_compacts_holds_the_folder_and_an_earlier_version_refuses_it(run):
    with (
        run.lock(),
        pytest.raises(RunError, match="in use by process"),
        Run.open(run.path).lock(),
    ):
        pytest.fail("two in one folder")
    values = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**values, "schema": 2}))
    assert folded(Run.open(run.path)).info.schema == SCHEMA_VERSION > 2


DYING = """
import os, signal, sys
from pathlib import Path
from apc_bench.store import placing
from apc_bench.store.run import Run

seen, moment = 0, None
NAMES = ("os.rename", "os.remove", "os.link", "ctypes.dlsym")

def count(name, arguments):
    global seen
    if moment is not None and name in NAMES:
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

def cannot(first, second):
    raise OSError(22, "no exchange here")

sys.addaudithook(count)
if sys.argv[1] == "one by one":
    placing.exchange = cannot
for line in sys.stdin:
    path, at = line.split()
    child = os.fork()
    if not child:
        run = Run.open(Path(path))
        moment = int(at)
        with run.lock():
            run.compact()
        os.write(1, f"{seen}\\n".encode())
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(ended):
        os.write(1, f"died of {os.WTERMSIG(ended)}\\n".encode())
"""


@pytest.fixture(params=["in one step", "one by one"])
def dying(request) -> Iterator[subprocess.Popen[str]]:
    """Compacts in processes that end themselves at some moment, on a file system of either kind."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DYING, request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.name = request.param
        yield process
        process.stdin.close()


def compacts(process: subprocess.Popen[str], path: Path, moment: int) -> str:
    process.stdin.write(f"{path} {moment}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_a_compaction_that_is_killed_at_any_moment_leaves_every_row_once(run, dying):
    wanted = rows_of(run)
    before = {kind: in_polars(run.path, kind) for kind in KINDS}

    def copied(name: str) -> Run:
        return Run.open(Path(shutil.copytree(run.path, run.path.parent / name)))

    steps = int(compacts(dying, copied("whole").path, 0))
    assert steps > MOMENTS
    states = set()
    for index in range(MOMENTS):
        copy = copied(f"copy{index}")
        rows_of(copy)  # a reader that has looked before
        moment = 1 + index * (steps - 1) // (MOMENTS - 1)
        assert compacts(dying, copy.path, moment) == f"died of {signal.SIGKILL}"
        states.add(len(small_files(copy)))
        for reader in (copy, Run.open(copy.path)):
            assert same(rows_of(reader), wanted), moment
            assert reader.done([TUNING, *TRIALS]) == ALL
            assert reader.damaged == []
        if dying.name == "in one step":
            assert all(in_polars(copy.path, kind).equals(before[kind]) for kind in KINDS), moment
        if dying.name == "one by one" or index % 4 == 0:
            after = folded(copy)
            assert same(rows_of(after), wanted)
            assert all(in_polars(copy.path, kind).equals(before[kind]) for kind in KINDS), moment
            assert small_files(copy) == after.leftovers() == []
    assert len(states) > 3  # half-way too


def test_a_file_system_that_cannot_exchange_folders_is_compacted_too(run, monkeypatch):
    def cannot(first: Path, second: Path) -> None:
        raise OSError(22, os.strerror(22))

    wanted = rows_of(run)
    monkeypatch.setattr(placing, "exchange", cannot)
    assert same(rows_of(folded(run)), wanted)
    assert small_files(run) == []
    folders = {path.name for path in (run.path / "scores").rglob("*") if path.is_dir()}
    assert folders == {"d", "01", "02"}
