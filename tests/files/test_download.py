"""Promises of `download`, against a real server on this machine that can misbehave."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web import PAYLOAD, SUM, Server, serving

from apc_bench.errors import ApcError, StorageError
from apc_bench.files.download import download
from apc_bench.files.hashing import file_sha256


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "thing.bin"


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def leave_part(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)


def test_a_file_arrives_whole_with_its_sum(target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with serving(Server()) as server:
        found = download(
            server.url,
            target,
            sha256=SUM,
            expected_bytes=len(PAYLOAD),
            progress=lambda done, total: told.append((done, total)),
        )
    assert found == SUM == file_sha256(target)
    assert target.read_bytes() == PAYLOAD
    assert not part_of(target).exists()
    assert told[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_first_digits_of_a_sum_suffice_and_none_is_needed(target: Path) -> None:
    with serving(Server()) as server:
        assert download(server.url, target, sha256=None, sha256_prefix=SUM[:8]) == SUM
        assert download(server.url, target.with_name("other.bin"), sha256=None) == SUM


def test_a_file_that_is_there_is_verified_and_not_fetched(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(PAYLOAD)
    with serving(Server()) as server:
        assert download(server.url, target, sha256=SUM.upper()) == SUM
        with pytest.raises(ApcError, match=f"expected {'0' * 64}, got {SUM}; delete it"):
            download(server.url, target, sha256="0" * 64)
        with pytest.raises(ApcError, match=f"expected 7 bytes, got {len(PAYLOAD)}"):
            download(server.url, target, sha256=None, expected_bytes=7)
    assert server.asked == []
    assert target.read_bytes() == PAYLOAD


@pytest.mark.parametrize("chunked", [False, True])
def test_a_broken_connection_leaves_the_part_and_says_run_again(
    target: Path, chunked: bool
) -> None:
    with (
        serving(Server(cut_after=5000, chunked=chunked)) as server,
        pytest.raises(ApcError, match=r"broke after.*run again") as caught,
    ):
        download(server.url, target, sha256=SUM)
    assert server.url in str(caught.value)
    assert str(target) in str(caught.value)
    assert not target.exists()
    assert part_of(target).read_bytes() == PAYLOAD[:5000]


@given(
    payload=st.binary(min_size=1, max_size=3000),
    cut=st.floats(0, 1, exclude_max=True),
    ranges=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_cut_download_resumes_to_the_same_bytes(payload: bytes, cut: float, ranges: bool) -> None:
    position = int(cut * len(payload))
    total = hashlib.sha256(payload).hexdigest()
    with (
        TemporaryDirectory() as folder,
        serving(Server(payload, ranges, cut_after=position)) as server,
    ):
        target = Path(folder) / "thing.bin"
        with pytest.raises(ApcError, match=f"broke after {position} of {len(payload)} bytes"):
            download(server.url, target, sha256=total)
        server.cut_after = None
        assert download(server.url, target, sha256=total) == total
        assert target.read_bytes() == payload
    assert server.asked == [None, f"bytes={position}-" if position else None]


@pytest.mark.parametrize(
    ("ranges", "wrong_start"),
    [(False, False), (True, True)],
    ids=["ignored", "answered from elsewhere"],
)
def test_a_range_that_is_not_honoured_starts_over(
    target: Path, ranges: bool, wrong_start: bool
) -> None:
    leave_part(target, PAYLOAD[:1000])
    with serving(Server(ranges=ranges, wrong_start=wrong_start)) as server:
        assert download(server.url, target, sha256=SUM) == SUM
    assert target.read_bytes() == PAYLOAD


def test_a_whole_part_is_verified_without_another_byte(target: Path) -> None:
    leave_part(target, PAYLOAD)
    with serving(Server()) as server:
        assert download(server.url, target, sha256=SUM) == SUM
        assert server.asked == [f"bytes={len(PAYLOAD)}-"]
        target.rename(part_of(target))
        assert download(server.url, target, sha256=SUM, expected_bytes=len(PAYLOAD)) == SUM
    assert len(server.asked) == 1


@pytest.mark.parametrize("expected", [None, len(PAYLOAD)])
@pytest.mark.parametrize("total_in_416", [True, False])
def test_a_part_longer_than_the_file_starts_over(
    target: Path, expected: int | None, total_in_416: bool
) -> None:
    leave_part(target, PAYLOAD + b"more")
    with serving(Server(total_in_416=total_in_416)) as server:
        assert download(server.url, target, sha256=SUM, expected_bytes=expected) == SUM
    assert target.read_bytes() == PAYLOAD


def test_a_wrong_sum_deletes_the_part_and_says_expected_and_got(target: Path) -> None:
    with serving(Server()) as server, pytest.raises(ApcError) as caught:
        download(server.url, target, sha256=None, sha256_prefix="deadbeef")
    assert f"expected deadbeef…, got {SUM}" in str(caught.value)
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_part_of_another_file_fails_once_and_then_succeeds(target: Path) -> None:
    leave_part(target, b"x" * 1000)
    with serving(Server()) as server:
        with pytest.raises(ApcError, match="wrong sha256"):
            download(server.url, target, sha256=SUM)
        assert download(server.url, target, sha256=SUM) == SUM


def test_a_file_of_another_length_is_refused_before_it_is_fetched(target: Path) -> None:
    with (
        serving(Server()) as server,
        pytest.raises(ApcError, match=f"offers {len(PAYLOAD)} bytes, expected 12"),
    ):
        download(server.url, target, sha256=None, expected_bytes=12)
    assert not part_of(target).exists()


def test_the_length_counts_where_the_server_does_not_say_it(target: Path) -> None:
    with serving(Server(says_length=False, cut_after=300)) as server:
        with pytest.raises(ApcError, match=f"broke after 300 of {len(PAYLOAD)}"):
            download(server.url, target, sha256=None, expected_bytes=len(PAYLOAD))
        server.cut_after = None
        with pytest.raises(ApcError, match=f"expected 400 bytes, got {len(PAYLOAD)}"):
            download(server.url, target, sha256=None, expected_bytes=400)
    assert not part_of(target).exists()


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "404 Not Found"), (503, "503 Service Unavailable"), (204, "204 No Content")],
)
def test_a_refusal_is_one_line_with_address_and_place(
    target: Path, status: int, reason: str
) -> None:
    with serving(Server(status=status)) as server, pytest.raises(ApcError, match=reason) as caught:
        download(server.url, target, sha256=SUM)
    message = str(caught.value)
    assert server.url in message
    assert str(target) in message
    assert "\n" not in message
    assert not target.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://no-such-host.invalid/x",
        "file:///etc/passwd",
        "x",
        "http://127.0.0.1:port/x",
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(target: Path, url: str) -> None:
    with pytest.raises(ApcError) as caught:
        download(url, target, sha256=None)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_said_before_a_byte_is_written(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 5000, 5000))
    with serving(Server()) as server:
        with pytest.raises(StorageError, match=r"0\.1 MB are needed in .* 0\.0 MB are free"):
            download(server.url, target, sha256=SUM)
        assert part_of(target).read_bytes() == b""
        part_of(target).write_bytes(PAYLOAD[:-4000])
        assert download(server.url, target, sha256=SUM) == SUM, "the rest fits"


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder must be")
    with serving(Server()) as server, pytest.raises(StorageError, match="cannot write") as caught:
        download(server.url, tmp_path / "cache" / "thing.bin", sha256=None)
    assert server.url in str(caught.value)


def test_of_many_at_once_only_one_downloads(target: Path) -> None:
    with serving(Server(delay=0.2)) as server, ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(lambda _: download(server.url, target, sha256=SUM), range(4)))
    assert sums == [SUM] * 4
    assert server.asked == [None]


def test_another_process_waits_for_the_download(target: Path) -> None:
    script = (
        "import sys, pathlib; from apc_bench.files.download import download; print(download(sys.argv[1],"
        " pathlib.Path(sys.argv[2]), sha256=None))"
    )
    with serving(Server(delay=0.5)) as server:
        command = [sys.executable, "-c", script, server.url, str(target)]
        runs = [
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env={**os.environ, "no_proxy": "*"}
            )
            for _ in range(2)
        ]
        sums = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert sums == [SUM, SUM]
    assert server.asked == [None]


def test_downloading_loads_no_torch() -> None:
    script = (
        "import sys, apc_bench.files.download, apc_bench.networks.weights; print(sorted({'torch', 'ray',"
        " 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
