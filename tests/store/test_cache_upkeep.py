"""Room in the cache: the longest unused goes first, what a process uses stays, and what is not
ours is left alone.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from support import apc_bench

from apc_bench.errors import RunError, UsageError
from apc_bench.store.cache import Cache
from apc_bench.store.cache_upkeep import Kept, clear, contents, keep_limit, parse_size
from apc_bench.store.cache_use import UPKEEP, claims, in_use

OLD, NEWER, NEWEST = (letter * 16 for letter in "abc")
DAY = 86400 * 10**9

USES = """
import sys
from pathlib import Path
from apc_bench.store.cache import Cache
from apc_bench.store.cache_use import in_use
folder = Path(sys.argv[1])
with in_use(folder):
    Cache(folder).entry("features", sys.argv[2], None)
    print("in use", flush=True)
    sys.stdin.read()
"""


def fill(folder: Path, kind: str = "features") -> None:
    """Three entries of 1,000 bytes and their lists, last used three, two and one days ago."""
    for days, key in ((3, OLD), (2, NEWER), (1, NEWEST)):
        entry = Cache(folder).entry(kind, key, lambda place: (place / "x").write_text("x" * 1000))
        before = (entry / "done.json").stat().st_mtime_ns - days * DAY
        os.utime(entry / "done.json", ns=(before, before))


def left(folder: Path, kind: str = "features") -> list[str]:
    return sorted(path.name for path in (folder / kind).iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("limit", "stays"),
    [
        (4000, [OLD, NEWER, NEWEST]),
        (3000, [NEWER, NEWEST]),
        (1500, [NEWEST]),
        (0, []),
        (None, [OLD, NEWER, NEWEST]),
    ],
)
def test_the_longest_unused_goes_until_the_limit_holds(tmp_path, limit, stays):
    fill(tmp_path)
    removed = keep_limit(tmp_path, limit)
    assert left(tmp_path) == stays
    assert removed.count == 3 - len(stays)
    assert sum(kept.size for kept in contents(tmp_path)) <= (limit or 4000)


def test_what_is_read_again_counts_as_used(tmp_path):
    fill(tmp_path)
    Cache(tmp_path).entry("features", OLD, lambda place: pytest.fail("it is there"))
    keep_limit(tmp_path, 1500)
    assert left(tmp_path) == [OLD]


def test_what_another_process_uses_stays_until_it_ends_or_dies(tmp_path):
    fill(tmp_path)
    command = [sys.executable, "-c", USES, str(tmp_path), OLD]
    user = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert user.stdout is not None and user.stdout.readline() == "in use\n"
        told = apc_bench("cache", "--limit", "0MB", "--cache", tmp_path).output
        assert "removed 2 entries" in told and f"1 kept, in use by process {user.pid} on" in told
        assert left(tmp_path) == [OLD]
        apc_bench("cache", "--clear", "--cache", tmp_path)
        assert left(tmp_path) == [OLD]
    finally:
        user.kill()
        user.communicate()
    apc_bench("cache", "--clear", "--cache", tmp_path)
    assert left(tmp_path) == []
    assert list((tmp_path / "in-use").iterdir()) == []


def test_an_entry_that_is_being_made_stays_and_its_makers_remains_go(tmp_path):
    fill(tmp_path, "decoded")
    remains = tmp_path / "decoded" / f".{'d' * 16}.0123abcd"
    remains.mkdir()
    with FileLock(tmp_path / "decoded" / f"{OLD}.lock"):
        removed = clear(tmp_path, ["decoded"])
    assert (removed.count, removed.busy) == (3, 1)
    assert left(tmp_path, "decoded") == [OLD]


def waits_for(lock: Path, use) -> bool:
    """Whether `use` waits while another holds the lock, and ends once it is let go."""
    thread = threading.Thread(target=use)
    with FileLock(lock):
        thread.start()
        thread.join(0.15)
        waited = thread.is_alive()
    thread.join(30)
    return waited and not thread.is_alive()


def test_who_takes_an_entry_or_begins_waits_for_who_removes(tmp_path):
    """Else an entry could vanish between the look and the reading."""
    fill(tmp_path)
    assert waits_for(
        tmp_path / "features" / f"{OLD}.lock", lambda: Cache(tmp_path).entry("features", OLD, None)
    )

    def begins():
        with in_use(tmp_path):
            pass

    assert waits_for(tmp_path / UPKEEP, begins)


def test_what_is_used_after_it_was_listed_stays(tmp_path, monkeypatch):
    fill(tmp_path)

    def listed_then_used(folder: Path) -> list[Kept]:
        listed = contents(folder)
        Cache(folder).entry("features", OLD, None)
        return listed

    monkeypatch.setattr("apc_bench.store.cache_upkeep.contents", listed_then_used)
    with in_use(tmp_path):
        keep_limit(tmp_path, 0)
    assert left(tmp_path) == [OLD]


def test_a_cache_that_may_only_be_read_serves_what_it_has(tmp_path, monkeypatch):
    fill(tmp_path)

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refused)
    with in_use(tmp_path):
        assert Cache(tmp_path).entry("features", OLD, None).name == OLD


def test_downloads_and_what_is_not_ours_are_never_removed(tmp_path):
    fill(tmp_path)
    (tmp_path / "weights").mkdir()
    own = [tmp_path / name for name in ("weights/w.pth", "features/mine", "features/my photos/a")]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
    for kind in ("all", "features", "synthetic"):
        apc_bench("cache", "--clear", kind, "--cache", tmp_path)
    assert all(path.read_text() == "kept" for path in own)
    assert left(tmp_path) == ["my photos"]
    assert "'weights' is not one of" in apc_bench("cache", "--clear", "weights", code=2).output


def test_synthetic_images_stay_while_anyone_uses_the_cache(tmp_path):
    (tmp_path / "synthetic" / OLD).mkdir(parents=True)
    with in_use(tmp_path), pytest.raises(RunError, match=r"in use by process \d+ on"):
        clear(tmp_path, ["synthetic"])
    assert clear(tmp_path, ["synthetic"]).count == 1


def test_the_table_shows_kinds_sizes_and_ages(tmp_path):
    fill(tmp_path)
    told = apc_bench("cache", "--cache", tmp_path).output
    assert f"{tmp_path}: 3 kB; sweeps keep images and features to 20.0 GB" in told
    row = next(line for line in told.splitlines() if line.startswith("features"))
    assert row.split()[-10:] == ["networks", "3", "3", "kB", "24.0", "h", "to", "3", "days", "ago"]
    entries = json.loads(apc_bench("cache", "--json", "--cache", tmp_path).output)["entries"]
    assert [Path(entry["path"]).name for entry in entries] == [OLD, NEWER, NEWEST]
    assert all(1000 < entry["size"] < 1100 for entry in entries)


def test_a_sweep_makes_room_at_its_start_says_so_and_then_holds_what_it_uses(tmp_path, monkeypatch):
    seen = []

    def stops(*arguments: object, **options: object) -> None:
        seen.extend(claims(tmp_path))
        raise UsageError("stopped")

    monkeypatch.setattr("apc_bench.runner.prepare.prepare", stops)
    fill(tmp_path)
    assert "cache" not in apc_bench("sweep", "--cache", tmp_path, code=2).output
    monkeypatch.setenv("APC_BENCH_CACHE_LIMIT", "1.5kB")
    assert "cache" not in apc_bench("sweep", "--cache", tmp_path, "--dry-run", code=2).output
    told = apc_bench("sweep", "--cache", tmp_path, code=2).output
    assert told.startswith("cache: removed 2 entries, 2 kB: the longest unused, to keep to 2 kB")
    assert left(tmp_path) == [NEWEST]
    assert [claim.holder.split()[1] for claim in seen] == [str(os.getpid())] * 3
    assert claims(tmp_path) == []
    monkeypatch.setenv("APC_BENCH_CACHE_LIMIT", "lots")
    told = apc_bench("sweep", "--cache", tmp_path, code=2).output
    assert told == "error: APC_BENCH_CACHE_LIMIT: 'lots' is no size: 10GB, 500MB or none\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GB", 10**10),
        ("1.5 gb", 1_500_000_000),
        ("500M", 500_000_000),
        ("2GiB", 2**31),
        ("7", 7),
        ("none", None),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "10 apples", "1e9", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size: 10GB, 500MB or none"):
        parse_size(text)
