"""What was read of a file stays known while the file stays what it was, and no longer."""

import os
from pathlib import Path

import pytest

from apc_bench.files.hashing import file_sha256
from apc_bench.store.known_files import KNOWN, KnownFiles


class Reader:
    """Reads a file's text and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path) -> str:
        self.times += 1
        return path.read_text()


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path):
    path, read, known = tmp_path / "map", Reader(), KnownFiles(tmp_path)
    path.write_text("one")
    assert [known.read(path, read), known.read(path, read)] == ["one", "one"]
    assert read.times == 1
    stat = path.stat()
    path.write_text("two")  # as long, and as old to whoever looks at the time of modification alone
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert known.read(path, read) == "two"
    path.with_name("other").write_text("tri")
    path.with_name("other").replace(path)
    assert known.read(path, read) == "tri"
    assert read.times == 3
    path.unlink()
    with pytest.raises(OSError, match="map"):
        known.read(path, read)


def test_what_is_known_is_kept_in_the_run_folder_and_a_damaged_memory_is_no_memory(tmp_path):
    path, read = tmp_path / "maps" / "one", Reader()
    path.parent.mkdir()
    path.write_text("text")
    known = KnownFiles(tmp_path)
    assert known.sha256(path) == file_sha256(path)
    known.save()
    again = KnownFiles(tmp_path)
    assert again.read(path, read) == file_sha256(path)
    assert read.times == 0
    for spoilt in ("", "[1]", '{"maps/one": 3}', '{"maps/one": ["x"]}', "[[]]", "no json"):
        (tmp_path / KNOWN).write_text(spoilt)
        assert KnownFiles(tmp_path).read(path, read) == "text", spoilt


def test_nothing_is_written_where_nothing_is_new(tmp_path):
    KnownFiles(tmp_path).save()
    assert not (tmp_path / KNOWN).exists()
