"""The cache: one builder, nothing half built, nothing lost by deleting it."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apc_bench.errors import DamagedFile, StorageError, UsageError
from apc_bench.store import cache as module
from apc_bench.store.cache import Cache, default_folder


def builder(text: str = "whole", log: list[str] | None = None):
    def build(folder: Path) -> None:
        (folder / "data").write_text(text)
        if log is not None:
            log.append(text)

    return build


DIES = """
import os, signal, sys
from pathlib import Path
from apc_bench.store.cache import Cache
def build(folder):
    (folder / "data").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
Cache(Path(sys.argv[1])).entry("kind", "key", build)
"""


def test_a_builder_that_is_killed_leaves_nothing_complete_and_the_next_cleans_up(tmp_path):
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "kind" / "key").exists()
    entry = Cache(tmp_path).entry("kind", "key", builder())
    assert (entry / "data").read_text() == "whole"
    assert [path.name for path in (tmp_path / "kind").iterdir() if path.is_dir()] == ["key"]


@pytest.mark.parametrize(
    "spoil",
    [
        "delete all",
        "delete a file",
        "cut a file",
        "garble the list",
        "empty the list",
        "delete the list",
    ],
)
def test_a_spoilt_or_deleted_entry_is_built_again(tmp_path, spoil):
    log: list[str] = []
    entry = Cache(tmp_path).entry("kind", "key", builder(log=log))
    if spoil == "delete all":
        shutil.rmtree(tmp_path)
    elif spoil == "delete a file":
        (entry / "data").unlink()
    elif spoil == "cut a file":
        (entry / "data").write_text("who")
    else:
        text = {"garble the list": "[1, 2]", "empty the list": "", "delete the list": None}[spoil]
        (entry / "done.json").unlink() if text is None else (entry / "done.json").write_text(text)
    again = Cache(tmp_path).entry("kind", "key", builder(log=log))
    assert (again / "data").read_text() == "whole"
    assert Cache(tmp_path).entry("kind", "key", builder(log=log)) == again
    assert len(log) == 2


def test_bytes_are_on_the_disk_before_the_entry_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        module,
        "sync",
        lambda path: synced.append((path.name, (tmp_path / "kind" / "key").exists())),
    )
    Cache(tmp_path).entry("kind", "key", builder())
    assert {name for name, _ in synced} >= {"data", "done.json"}
    assert not any(there for _, there in synced)


def test_a_disk_that_refuses_is_one_line_that_names_the_flag(tmp_path):
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(
        StorageError, match="No space left on device; --cache DIR names another place"
    ):
        Cache(tmp_path / "a").entry("kind", "key", full)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the cache"):
        Cache(tmp_path / "file").entry("kind", "key", builder())
    with pytest.raises(StorageError, match="cannot write"):
        Cache(tmp_path / "file").hashes([tmp_path / "file"], threads=1)


def counted(monkeypatch) -> list[Path]:
    read: list[Path] = []
    original = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: (read.append(path), original(path))[1])
    return read


def test_an_unchanged_file_is_read_once_and_hashes_are_right(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name * 1000)
    expected = {path: hashlib.sha256((path.name * 1000).encode()).hexdigest() for path in paths}
    assert Cache(tmp_path / "cache").hashes(paths, threads=2) == expected
    assert Cache(tmp_path / "cache").hashes(paths, threads=2) == expected
    assert sorted(read) == paths


@pytest.mark.parametrize("memo", [None, "", "[]", "{", "null"])
def test_a_lost_or_garbled_memo_costs_only_time(tmp_path, monkeypatch, memo):
    path, cache = tmp_path / "a", Cache(tmp_path / "cache")
    path.write_text("x")
    expected = cache.hashes([path], threads=1)
    read = counted(monkeypatch)
    stored = tmp_path / "cache" / "hashes.json"
    stored.unlink() if memo is None else stored.write_text(memo)
    assert cache.hashes([path], threads=1) == expected
    assert read == [path]
    assert len(json.loads(stored.read_text())) == 1


def test_a_file_changed_in_place_with_its_old_size_and_time_is_noticed(tmp_path):
    path, cache = tmp_path / "a", Cache(tmp_path / "cache")
    path.write_text("one")
    before = path.stat()
    old = cache.hashes([path], threads=1)[path]
    for _ in range(200):  # until the file system's clock has moved on
        path.write_text("two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if path.stat().st_ctime_ns != before.st_ctime_ns:
            break
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.hashes([path], threads=1)[path] != old


def test_a_missing_file_is_an_os_error_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        Cache(tmp_path).hashes([tmp_path / "none"], threads=1)
    assert error.value.filename == str(tmp_path / "none")


def test_the_default_folder_is_the_named_one_or_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv("APC_BENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "apc-bench"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/apc-bench")
    monkeypatch.setenv("APC_BENCH_CACHE", "/y/z")
    assert default_folder() == Path("/y/z")


def test_a_user_without_a_home_is_told_the_flag(monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("APC_BENCH_CACHE", "/y/z")
    assert default_folder() == Path("/y/z")
    monkeypatch.delenv("APC_BENCH_CACHE")
    with pytest.raises(UsageError, match="--cache DIR"):
        default_folder()


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
