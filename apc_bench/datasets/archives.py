"""Archives unpacked so that a hostile one does nothing: only plain files, only inside, only as many
bytes as such an archive can hold.
"""

import gzip
import lzma
import re
import shutil
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from apc_bench.errors import DataError, StorageError

RATIO_MAX = 30
"""Images hardly compress: an archive that unpacks to more than this many times its size is a
bomb.
"""

SMALL = 64 << 20
"""Bytes that any archive may unpack to, however small it is."""

MEMBERS_MAX = 200_000
DEPTH_MAX = 16
CHUNK = 1 << 20

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a method of compression that Python has not
    ValueError,  # offsets and names in a zip that cannot be
)
_Member = tuple[str, str | None, int, IO[bytes] | None]


def extract(archive: Path, into: Path) -> None:
    """Unpacks a tar (plain, gz, bz2, xz) or zip into the folder `into`, which must not exist yet.
    Times, modes and owners are not taken over.

    Raises DataError that names the member: absolute, outside (`..`), a link or a device, twice, a
    name that no file can have or with control characters, too deep, too many, or more bytes than
    RATIO_MAX allows; and where the archive is damaged. Raises StorageError when a write fails. What
    was unpacked until then stays: the caller made a folder for it and deletes that.
    """
    allowed = max(SMALL, RATIO_MAX * archive.stat().st_size)
    declared = count = 0
    try:
        with _members(archive) as members:
            for name, fault, size, content in members:
                count += 1
                declared += size  # and no more than that is written: both readers stop there
                fault = fault or _fault(name) or _too_much(count, declared, allowed)
                if fault:
                    raise DataError(
                        f"archive {archive}: member {name!r} {fault}; nothing was taken over"
                    )
                if content is not None:
                    _write(content, into.joinpath(*PurePosixPath(name).parts), archive, name)
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"archive {archive}: damaged or of an unknown kind ({reason}); fetch it again"
        ) from None
    if not count:
        raise DataError(f"archive {archive} is empty")


def unpacked_size(archive: Path) -> int:
    """Bytes that the archive says its files take where that is cheap to know (zip), else the size
    of the archive itself.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                return sum(member.file_size for member in file.infolist())
    except _BROKEN:
        pass  # extract says what is wrong with it
    return archive.stat().st_size


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """(name, what is wrong with its kind, declared bytes, content; None for a folder) of each
    member, in the archive's order.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield _of_zip(zipped)
    else:
        with _open_tar(archive) as tar:
            yield _of_tar(tar)


def _open_tar(archive: Path) -> tarfile.TarFile:
    """Raises tarfile.ReadError also for a file that ends within its first bytes, where Python asks
    for the number of a byte that is not there.
    """
    try:
        return tarfile.open(archive, "r|*")
    except TypeError:
        raise tarfile.ReadError("it ends within its header") from None


def _of_zip(zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for member in zipped.infolist():
        kind = member.external_attr >> 28  # the upper bits of a Unix mode; 0 where there is none
        fault = None if kind in (0, 0o10, 0o04) or member.is_dir() else "is no plain file"
        if member.flag_bits & 1:
            fault = "is encrypted"
        if member.is_dir() or fault:
            yield member.filename, fault, 0, None
        else:
            with zipped.open(member) as content:
                yield member.filename, None, member.file_size, content


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    for member in tar:
        if member.isdir():
            yield member.name, None, 0, None
        elif member.issym() or member.islnk():
            yield member.name, f"is a link (to {member.linkname!r})", 0, None
        elif not member.isreg():
            yield member.name, "is no plain file", 0, None
        else:
            yield member.name, None, member.size, tar.extractfile(member)


def _fault(name: str) -> str | None:
    """What is wrong with a name, or None."""
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        return "has control characters in its name, or bytes that are no UTF-8"
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "has an absolute path or one with backslashes"
    if ".." in path.parts:
        return "leads outside the archive's own folder"
    if len(path.parts) > DEPTH_MAX or any(len(part.encode()) > 255 for part in path.parts):
        return "has a path that is too deep or too long"
    return None


def _too_much(count: int, declared: int, allowed: int) -> str | None:
    if count > MEMBERS_MAX:
        return f"is number {count}: more than {MEMBERS_MAX} files"
    if declared > allowed:
        return (
            f"would bring the unpacked size above {allowed / 1e6:.0f} MB, {RATIO_MAX} times the"
            " archive's own"
        )
    return None


def _write(content: IO[bytes], target: Path, archive: Path, name: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:  # x: never through a name that is there
            shutil.copyfileobj(content, file, CHUNK)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise DataError(
            f"archive {archive}: member {name!r} is there twice, or stands where a folder does;"
            " nothing was taken over"
        ) from None
    except OSError as error:
        if isinstance(error, _BROKEN):
            raise
        raise StorageError(
            f"cannot unpack {archive}: {target}: {error.strerror or error}"
        ) from None
