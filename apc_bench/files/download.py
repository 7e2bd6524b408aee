"""One file from the web to disk: resumed where it broke off, verified, and under its name only when
it is whole.
"""

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from filelock import FileLock

from apc_bench.errors import ApcError, StorageError
from apc_bench.files.disk import sync
from apc_bench.files.hashing import file_sha256

CHUNK = 1 << 20
TIMEOUT = 60.0


def download(
    url: str,
    destination: Path,
    *,
    sha256: str | None,
    sha256_prefix: str | None = None,
    expected_bytes: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Fetch `url` (http or https) to `destination` and return its sha256.

    The bytes gather in `destination` + `.part`, which a later call resumes; the part takes the name
    once its length and its sum are right. A file that is there already is verified, not fetched.
    `destination` + `.lock` keeps other processes waiting meanwhile. `sha256_prefix` is used where
    only the first digits of the sum are published; with neither, the length alone is verified.
    `progress` is told the bytes on disk and the total, None when unknown.

    Raises `ApcError` when the file cannot be had, `StorageError` when it cannot be written. Each
    names the address, and the place where the file may be put by hand.
    """
    task = _Task(url, destination, (sha256 or sha256_prefix or "").lower(), expected_bytes)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(destination, ".lock")):
            if destination.exists():
                return _verify_existing(task)
            _fetch(task, progress)
            return _publish(task)
    except OSError as error:
        # What the network raises is translated where it is read: what is left comes from the disk.
        raise StorageError(
            task.line(f"cannot write {destination}: {error.strerror or error}")
        ) from error


@dataclass(frozen=True, slots=True)
class _Task:
    url: str
    destination: Path
    sha256_start: str
    expected_bytes: int | None

    @property
    def part(self) -> Path:
        return _beside(self.destination, ".part")

    def line(self, reason: str) -> str:
        return (
            f"cannot download {self.url}: {reason} (the file may also be put by hand at"
            f" {self.destination})"
        )

    def failure(self, reason: str) -> ApcError:
        return ApcError(self.line(reason))


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response whose body runs from byte `start` to `total`, None when the server does not
    say.
    """

    body: http.client.HTTPResponse
    start: int
    total: int | None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _fetch(task: _Task, progress: Callable[[int, int | None], None] | None) -> None:
    """Make the part whole."""
    have = task.part.stat().st_size if task.part.exists() else 0
    if task.expected_bytes is not None and have >= task.expected_bytes:
        if have == task.expected_bytes:
            return
        have = 0
    answer = _request(task, have)
    if answer is not None:
        with answer.body:
            _save(task, answer, progress)


def _request(task: _Task, start: int) -> _Answer | None:
    """Ask from byte `start` on; the answer starts at 0 where the server will not resume, and is
    None when nothing is left to send.
    """
    headers = {"User-Agent": "apc-bench"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        body = _open(task, headers)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return None if _total_of(error.headers) == start else _request(task, 0)
        raise task.failure(f"the server answers {error.code} {error.reason}") from error
    first = _first_byte(body)
    if first is None or first not in (0, start):
        body.close()
        if start:
            return _request(task, 0)
        raise task.failure(f"the server answers {body.status} {body.reason}, not the file")
    return _Answer(body, first, _checked_total(task, body, first))


def _open(task: _Task, headers: dict[str, str]) -> http.client.HTTPResponse:
    if not task.url.startswith(("https://", "http://")):
        raise task.failure("not an http or https address")
    request = urllib.request.Request(task.url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise task.failure(f"no connection: {_reason(error)}") from error
    return response


def _first_byte(body: http.client.HTTPResponse) -> int | None:
    """The position in the file of the body's first byte; None for an answer that is not a file."""
    if body.status == http.HTTPStatus.OK:
        return 0
    found = re.match(r"bytes (\d+)-", body.headers.get("Content-Range", ""))
    return int(found[1]) if found and body.status == http.HTTPStatus.PARTIAL_CONTENT else None


def _total_of(headers: Message) -> int | None:
    found = re.search(r"/(\d+)$", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _checked_total(task: _Task, body: http.client.HTTPResponse, first: int) -> int | None:
    if body.length is None:
        return task.expected_bytes
    total = first + body.length
    if task.expected_bytes not in (None, total):
        body.close()
        raise task.failure(f"the server offers {total} bytes, expected {task.expected_bytes}")
    return total


def _save(task: _Task, answer: _Answer, progress: Callable[[int, int | None], None] | None) -> None:
    done = answer.start
    with task.part.open("ab" if answer.start else "wb") as file:
        _check_space(task, answer)
        while chunk := _read(task, answer.body, done):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, answer.total)
        file.flush()
        os.fsync(file.fileno())
    if answer.total is not None and done < answer.total:
        raise task.failure(
            f"the connection broke after {done} of {answer.total} bytes; run again to go on from"
            " there"
        )


def _read(task: _Task, body: http.client.HTTPResponse, done: int) -> bytes:
    try:
        return body.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise task.failure(
            f"the connection broke after {done} bytes ({_reason(error)}); run again to go on from"
            " there"
        ) from error


def _check_space(task: _Task, answer: _Answer) -> None:
    if answer.total is None:
        return
    needed = answer.total - answer.start
    free = shutil.disk_usage(task.part.parent).free
    if needed > free:
        raise StorageError(
            task.line(
                f"{needed / 1e6:.1f} MB are needed in {task.part.parent}, {free / 1e6:.1f} MB are"
                " free; make room"
            )
        )


def _publish(task: _Task) -> str:
    """Give the verified part its name; a part that does not verify is deleted, for resuming it
    could not mend it.
    """
    sha256, fault = _check(task, task.part)
    if fault:
        task.part.unlink()
        raise task.failure(f"{fault}; what came was deleted")
    task.part.replace(task.destination)
    sync(task.destination.parent)  # else a power cut may undo the renaming
    return sha256


def _verify_existing(task: _Task) -> str:
    sha256, fault = _check(task, task.destination)
    if fault:
        raise ApcError(
            f"{task.destination} is not the file of {task.url}: {fault}; delete it and run again,"
            " or put the right file there"
        )
    return sha256


def _check(task: _Task, path: Path) -> tuple[str, str | None]:
    """The file's sha256, and what is wrong with the file."""
    sha256 = file_sha256(path)
    if not sha256.startswith(task.sha256_start):
        more = "" if len(task.sha256_start) == len(sha256) else "…"
        return sha256, f"wrong sha256: expected {task.sha256_start}{more}, got {sha256}"
    size = path.stat().st_size
    if task.expected_bytes not in (None, size):
        return sha256, f"wrong length: expected {task.expected_bytes} bytes, got {size}"
    return sha256, None


def record_of(path: Path) -> Path:
    """Where the sum of a file is kept whose sum nobody publishes: the one of the first fetch, in
    the format of `sha256sum`.
    """
    return _beside(path, ".sha256")


def recorded_sum(path: Path) -> str | None:
    """The sum that was recorded of a file, or None. Raises ApcError for a record that holds
    none.
    """
    record = record_of(path)
    if not record.is_file():
        return None
    found = re.match(r"[0-9a-f]{64}\b", record.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise ApcError(f"{record} holds no sha256: delete it to record the sum of {path.name} anew")
    return found[0]


def record_sum(path: Path, sha256: str) -> None:
    """Records the sum of a file, whole or not at all. Raises StorageError."""
    record = record_of(path)
    draft = _beside(record, f".{os.getpid()}.new")
    try:
        draft.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
        draft.replace(record)
    except OSError as error:
        raise StorageError(
            f"cannot record the sha256 of {path.name} in {record}: {error.strerror or error}"
        ) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
