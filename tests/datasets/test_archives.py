"""What an archive may not do."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.datasets import archives
from apc_bench.datasets.archives import extract
from apc_bench.errors import ApcError, DataError


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "absolute": (member("/etc/cron.d/x"), "absolute path"),
    "parent": (member("../outside"), "leads outside"),
    "parent within": (member("a/../../outside"), "leads outside"),
    "symbolic link": (member("a", tarfile.SYMTYPE, "/etc/passwd"), "is a link (to '/etc/passwd')"),
    "hard link": (member("a", tarfile.LNKTYPE, "/etc/passwd"), "is a link"),
    "device": (member("a", tarfile.CHRTYPE), "is no plain file"),
    "block device": (member("a", tarfile.BLKTYPE), "is no plain file"),
    "pipe": (member("a", tarfile.FIFOTYPE), "is no plain file"),
    "backslashes": (member("..\\outside"), "backslashes"),
    "drive": (member("C:/x"), "absolute path"),
    "control": (member("a\nb"), "control characters"),
    "deep": (member("a/" * 40 + "b"), "too deep"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_named_and_does_nothing(kind, tmp_path):
    info, fault = HOSTILE[kind]
    archive = tar_of(tmp_path / "x.tar", (member("fine.txt"), b"ok"), (info, b""))
    inside = tmp_path / "inside"
    with pytest.raises(DataError) as raised:
        extract(archive, inside)
    assert fault in str(raised.value)
    assert repr(info.name) in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "x.tar"]


def test_a_link_cannot_be_written_through_and_a_file_not_twice(tmp_path):
    archive = tar_of(tmp_path / "x.tar", (member("a"), b"1"), (member("a"), b"2"))
    with pytest.raises(DataError, match="is there twice"):
        extract(archive, tmp_path / "one")
    archive = tar_of(tmp_path / "y.tar", (member("a"), b"1"), (member("a/b"), b"2"))
    with pytest.raises(DataError, match="is there twice, or stands where a folder does"):
        extract(archive, tmp_path / "two")


@pytest.mark.parametrize("ending", ["tar.gz", "tar.xz", "zip"])
def test_a_bomb_is_stopped_before_it_fills_the_disk(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 100_000)
    path, zeros = tmp_path / f"x.{ending}", bytes(3_000_000)
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("zeros", zeros)
    else:
        tar_of(path, (member("zeros"), zeros), mode=f"w:{ending.split('.')[1]}")
    with pytest.raises(DataError, match="would bring the unpacked size above"):
        extract(path, tmp_path / "inside")
    assert (
        sum(file.stat().st_size for file in (tmp_path / "inside").rglob("*") if file.is_file()) == 0
    )


def test_too_many_files_are_a_bomb_too(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS_MAX", 10)
    archive = tar_of(tmp_path / "x.tar", *((member(f"{n}"), b"") for n in range(11)))
    with pytest.raises(DataError, match="more than 10 files"):
        extract(archive, tmp_path / "inside")


def test_a_zip_that_lies_about_a_members_size_is_caught(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1000))
    raw = path.read_bytes()
    path.write_bytes(raw.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DataError):
        extract(path, tmp_path / "inside")


def test_a_zipped_link_and_an_encrypted_file_are_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is no plain file"):
        extract(tmp_path / "x.zip", tmp_path / "inside")


@pytest.mark.parametrize("length", range(1, 12))
def test_an_archive_that_ends_within_its_header_is_damaged(length, tmp_path):
    path = tmp_path / "x.tar.gz"
    tar_of(path, (member("a"), b"hello"), mode="w:gz")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ApcError, match="damaged or of an unknown kind"):
        extract(path, tmp_path / "inside")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_an_error_in_one_line_or_do_no_harm(data, tmp_path_factory):
    place = tmp_path_factory.mktemp("damaged")
    kind = data.draw(st.sampled_from(["w", "w:gz", "w:xz", "zip"]))
    path = place / "x"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a/b.txt", b"hello" * 50)
            file.writestr("c", b"world" * 50)
    else:
        tar_of(path, (member("a/b.txt"), b"hello" * 50), (member("c"), b"world" * 50), mode=kind)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        extract(path, place / "inside")
    except ApcError as error:
        assert "\n" not in str(error)
    assert {file.name for file in place.iterdir()} <= {"x", "inside"}
