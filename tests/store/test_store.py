"""A run's files: whole or not at all, never silently wrong, one writer at a time; the cache has one
builder.
"""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from apc_bench.errors import ApcError, DamagedFile, RunError, StorageError
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.files import read_json, read_table, write_atomically, write_table
from apc_bench.store.run import Run
from apc_bench.store.schemas import SCHEMA_VERSION

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float32())])


def table(count: int = 50) -> pa.Table:
    values = np.random.default_rng(0).normal(size=count).astype(np.float32)
    return pa.table({"name": [f"image {index}" for index in range(count)], "value": values}, SCHEMA)


def test_what_is_written_is_read_back_with_its_marks(tmp_path):
    sha256 = write_table(tmp_path / "t.parquet", table(), {"kind": "test", "result_key": "abc"})
    found, marks = read_table(tmp_path / "t.parquet", SCHEMA)
    assert found.equals(table())
    assert marks == {"schema": str(SCHEMA_VERSION), "kind": "test", "result_key": "abc"}
    assert len(sha256) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_two_hundred_flipped_bits_are_never_silently_wrong(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, table(), {"kind": "test", "result_key": "abc"})
    whole = path.read_bytes()
    expected = read_table(path, SCHEMA)
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        data[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        try:
            found, marks = read_table(path, SCHEMA)
        except ApcError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert found.equals(expected[0])
            assert marks == expected[1]
    assert refused > 150


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", b"PAR1" + b"\0" * 400 + b"PAR1"])
def test_junk_is_named(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"t\.parquet"):
        read_table(tmp_path / "t.parquet")


def test_truncations_are_named(tmp_path):
    write_table(tmp_path / "t.parquet", table(), {})
    whole = (tmp_path / "t.parquet").read_bytes()
    for length in np.linspace(1, len(whole) - 1, 20).astype(int):
        (tmp_path / "t.parquet").write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            read_table(tmp_path / "t.parquet")


def test_another_schema_and_other_versions_have_their_own_message(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    write_table(path, table(), {})
    with pytest.raises(DamagedFile, match="other columns"):
        read_table(path, pa.schema([("other", pa.int8())]))
    from apc_bench.store import files

    for version, kind, message in (
        (SCHEMA_VERSION + 1, RunError, "newer apc-bench"),
        (SCHEMA_VERSION - 1, DamagedFile, "older apc-bench"),
    ):
        monkeypatch.setattr(files, "SCHEMA_VERSION", version)
        write_table(path, table(), {})
        monkeypatch.setattr(files, "SCHEMA_VERSION", SCHEMA_VERSION)
        with pytest.raises(kind, match=message):
            read_table(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t"
    write_atomically(path, lambda temporary: temporary.write_text("old"))

    def breaks(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="MiB free"):
        write_atomically(path, breaks)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"]


def _fill(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        write_table(folder / "large.parquet", table(50_000), {})
    except StorageError:
        os._exit(7)
    os._exit(0)


def test_a_full_disk_is_one_clear_error(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_fill, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 7
    assert list(tmp_path.iterdir()) == []


def test_kill_in_the_middle_of_a_write_leaves_nothing_that_reads_as_done(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from apc_bench.store.files import"
        " write_atomically\ndef slow(p):\n    f = p.open('wb'); f.write(b'half'); f.flush();"
        " print('writing', flush=True);"
        f" time.sleep(60)\nwrite_atomically(Path({str(tmp_path / 'run' / 'file')!r}), slow)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "run" / "file").exists()
    run = Run(tmp_path / "run")
    assert run.clean() == 1
    assert list((tmp_path / "run").iterdir()) == []


HOLD = """
import sys, time
from pathlib import Path
from apc_bench.store.run import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(RunError, match=f"in use by process {process.pid}"), Run(tmp_path).lock():
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with Run(tmp_path).lock():
        pass


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="is no run folder"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DamagedFile, match=r"run\.json"):
        Run.open(tmp_path)
    with pytest.raises(DamagedFile):
        read_json(tmp_path / "none.json")


def test_attempts_survive_a_line_that_was_cut_short(tmp_path):
    attempts.record(tmp_path, attempts.START, result_key="a", kind="trial", step="one")
    attempts.record(
        tmp_path,
        attempts.FAILED,
        result_key="a",
        kind="trial",
        step="one",
        reason="no",
        seconds=1.0,
    )
    (log,) = tmp_path.iterdir()
    log.write_text(log.read_text() + '{"event": "sta')
    assert [(attempt.event, attempt.reason) for attempt in attempts.read_attempts(tmp_path)] == [
        ("start", None),
        ("failed", "no"),
    ]


def _build(folder: Path, log: Path) -> None:
    def build(place: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        (place / "data").write_text("x")

    entry = Cache(folder).entry("kind", "key", build)
    assert (entry / "data").read_text() == "x"


def test_the_cache_has_one_builder_and_survives_deletion(tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build, args=(tmp_path / "cache", log)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 5
    assert log.read_text() == "built\n"
    (tmp_path / "cache" / "kind" / "key" / "data").write_text("cut short or longer")
    _build(tmp_path / "cache", log)  # a file of another size is no entry
    assert log.read_text() == "built\n" * 2


def test_a_builder_that_fails_leaves_no_entry(tmp_path):
    def fails(place: Path) -> None:
        (place / "half").write_text("x")
        raise DamagedFile("no")

    with pytest.raises(DamagedFile):
        Cache(tmp_path).entry("kind", "key", fails)
    assert not (tmp_path / "kind" / "key").exists()
    assert not [path for path in (tmp_path / "kind").iterdir() if path.is_dir()]


def test_hashes_are_remembered_until_a_file_changes(tmp_path):
    file, cache = tmp_path / "f", Cache(tmp_path / "cache")
    file.write_text("one")
    first = cache.hashes([file], threads=1)[file]
    assert cache.hashes([file], threads=1)[file] == first
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert cache.hashes([file], threads=1)[file] != first
