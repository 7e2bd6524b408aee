"""Single files: where they cannot be written or belong to others, the error says so and nothing is
left behind.
"""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apc_bench.errors import ApcError, DamagedFile, RunError, StorageError
from apc_bench.files.hashing import file_sha256
from apc_bench.store import files
from apc_bench.store.files import (
    TEMPORARY,
    count_rows,
    read_json,
    read_table,
    write_atomically,
    write_json,
    write_table,
)
from apc_bench.store.run import Run
from apc_bench.store.schemas import OLDEST_SCHEMA, SCHEMA_VERSION

TABLE = pa.table({"value": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize("deep", ["file/t.json", "file/deeper/t.json"])
def test_a_file_in_the_place_of_a_folder_is_a_storage_error_and_no_bug(tmp_path, deep):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"cannot write .*t\.json: (Not a directory|File exists)"
    ):
        write_json(tmp_path / deep, {})


def test_a_name_that_the_disk_refuses_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="name too long"):
        write_json(tmp_path / ("x" * 300), {})
    assert list(tmp_path.iterdir()) == []


def test_a_refused_rename_leaves_nothing(tmp_path, monkeypatch):
    def refuses(self, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(StorageError, match="Permission denied; make room or mend the permission"):
        write_json(tmp_path / "t.json", {})
    assert list(tmp_path.iterdir()) == []


def test_what_write_raises_passes_through_and_leaves_nothing(tmp_path):
    def breaks(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "t", breaks)
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_on_the_disk_before_their_name_and_the_name_before_it_counts(
    tmp_path, monkeypatch
):
    """What a loss of power leaves can only be promised by the order of the calls."""
    order = []
    sync, replace = files.sync, Path.replace
    monkeypatch.setattr(
        files,
        "sync",
        lambda path: (order.append(("sync", path.name.startswith(TEMPORARY), path)), sync(path)),
    )
    monkeypatch.setattr(
        Path,
        "replace",
        lambda self, target: (order.append(("rename", True, self)), replace(self, target))[1],
    )
    write_json(tmp_path / "t.json", {"a": 1})
    assert [(what, temporary) for what, temporary, _ in order] == [
        ("sync", True),
        ("rename", True),
        ("sync", False),
    ]
    assert order[-1][2] == tmp_path


SLOW = """
import os, sys, time
from pathlib import Path
from apc_bench.store.files import write_atomically
def slow(path):
    with path.open("wb") as file:
        file.write(b"half" * 4096)
    print("written", flush=True)
    time.sleep(60)
write_atomically(Path(sys.argv[1]), slow)
"""


def test_kill_9_in_the_middle_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "t.json"
    write_json(path, {"old": True})
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert read_json(path) == {"old": True}
    assert Run(tmp_path).clean() == 1
    assert list(tmp_path.iterdir()) == [path]


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from apc_bench.errors import StorageError
from apc_bench.store import attempts
from apc_bench.store.files import write_atomically, write_table
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
folder = Path(sys.argv[1])
for write in (
    lambda: write_table(folder / "a.parquet", pa.table({"x": [str(i * i) for i in range(20000)]}), {}),
    lambda: write_atomically(folder / "b.bin", lambda path: path.write_bytes(bytes(10000))),
    lambda: [attempts.record(folder / "log", "start", result_key="k", kind="trial", step="x" * 2000) for _ in range(9)],
):
    try:
        write()
        print("no error")
    except StorageError as error:
        print(error)
"""


def test_a_full_disk_is_one_line_with_the_place_and_leaves_no_half_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"cannot write {tmp_path}/") for line in lines)
    assert "a.parquet: File too large; " in lines[0]
    assert "MiB free" in lines[0]
    assert "b.bin: File too large; " in lines[1]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_disk_that_becomes_full_is_told_and_what_was_stored_stays(small_disk):
    stored = []

    def fill() -> None:
        for number in range(2000):
            write_table(small_disk / f"{number}.parquet", TABLE, {"kind": str(number)})
            stored.append(number)

    with pytest.raises(StorageError, match="No space left on device; 0 MiB free"):
        fill()
    assert stored
    assert {path.name for path in small_disk.iterdir()} == {
        f"{number}.parquet" for number in stored
    }
    assert all(
        read_table(small_disk / f"{number}.parquet")[1]["kind"] == str(number) for number in stored
    )


def test_a_parquet_file_of_another_program_is_not_taken_for_ours(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(DamagedFile, match="not a file of apc-bench"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("change", ["value", "name", "added", "removed"])
def test_metadata_that_were_changed_by_hand_are_refused(tmp_path, change):
    path = tmp_path / "t.parquet"
    write_table(path, TABLE, {"scale": "1.0", "sha256.maps": "ab"})
    marked = pq.read_table(path)
    metadata = dict(marked.schema.metadata)
    if change == "value":
        metadata[b"apc_bench.scale"] = b"3.0"
    elif change == "name":
        metadata[b"apc_bench.sha356.maps"] = metadata.pop(b"apc_bench.sha256.maps")
    elif change == "added":
        metadata[b"apc_bench.more"] = b""
    else:
        del metadata[b"apc_bench.sha256.maps"]
    pq.write_table(marked.replace_schema_metadata(metadata), path)
    with pytest.raises(DamagedFile, match="seal"):
        read_table(path)


def test_one_table_gives_one_sequence_of_bytes(tmp_path):
    assert (
        write_table(tmp_path / "a", TABLE, {"k": "v"})
        == write_table(tmp_path / "b", TABLE, {"k": "v"})
        == file_sha256(tmp_path / "a")
    )


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 1000])
def test_the_footer_counts_the_rows_that_are_read_and_is_verified_as_they_are(tmp_path, rows):
    path, table = (
        tmp_path / "t",
        pa.table({"value": [float(row) for row in range(rows)], "name": ["a"] * rows}),
    )
    write_table(path, table, {"k": "v"})
    assert read_table(path) == (table, {"k": "v", "schema": str(SCHEMA_VERSION)})
    assert count_rows(path) == (rows, {"k": "v", "schema": str(SCHEMA_VERSION)})
    pq.write_table(
        pq.read_table(path).slice(1).append_column("more", pa.array(range(max(rows - 1, 0)))), path
    )
    with pytest.raises(DamagedFile, match="seal"):
        count_rows(path)


def test_json_keeps_its_order_and_its_letters(tmp_path):
    write_json(tmp_path / "t.json", {"z": "×", "a": [1, None]})
    assert list(read_json(tmp_path / "t.json").items()) == [("z", "×"), ("a", [1, None])]
    assert "×" in (tmp_path / "t.json").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float32())])


def table(count: int = 50) -> pa.Table:
    values = np.random.default_rng(0).normal(size=count).astype(np.float32)
    return pa.table({"name": [f"image {index}" for index in range(count)], "value": values}, SCHEMA)


def test_what_is_written_is_read_back_with_its_metadata(tmp_path):
    sha256 = write_table(tmp_path / "t.parquet", table(), {"kind": "test", "result_key": "abc"})
    found, metadata = read_table(tmp_path / "t.parquet", SCHEMA)
    assert found.equals(table())
    assert metadata == {"schema": str(SCHEMA_VERSION), "kind": "test", "result_key": "abc"}
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
            found, metadata = read_table(path, SCHEMA)
        except ApcError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert found.equals(expected[0])
            assert metadata == expected[1]
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


def test_another_schema_and_other_versions_have_their_own_message(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, table(), {})
    with pytest.raises(DamagedFile, match="other columns"):
        read_table(path, pa.schema([("other", pa.int8())]))
    for version, kind, message in (
        (SCHEMA_VERSION + 1, RunError, "newer apc-bench"),
        (OLDEST_SCHEMA - 1, DamagedFile, "older apc-bench"),
    ):
        write_table(path, table(), {}, version)
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
