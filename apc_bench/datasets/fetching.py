"""From the catalog to a folder that a sweep reads: fetched or given, verified, unpacked, converted,
counted; and under its name only when all that is done.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from apc_bench.datasets.archives import extract, unpacked_size
from apc_bench.datasets.catalog import KnownDataset
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Dataset
from apc_bench.datasets.tree import ORIGIN
from apc_bench.errors import ApcError, DataError, StorageError
from apc_bench.files.download import download, record_of, record_sum, recorded_sum
from apc_bench.files.hashing import file_sha256

ARCHIVES = "archives"

Progress = Callable[[int, int | None], None]


def place_of(known: KnownDataset, into: Path) -> Path:
    """Where the dataset lies once it is here."""
    return into / known.name


def is_here(known: KnownDataset, into: Path) -> bool:
    """Whether it was fetched into the folder as a whole."""
    return (place_of(known, into) / ORIGIN).is_file()


def archive_of(known: KnownDataset, into: Path) -> Path:
    """Where its archive is put, by a download or by hand."""
    return into / ARCHIVES / known.archive


def fetch(
    known: KnownDataset,
    into: Path,
    *,
    archive: Path | None,
    say: Callable[[str], None],
    progress: Progress | None = None,
) -> Path:
    """Makes the dataset in `into` and returns its folder; what is there already is left as it is.

    `archive`: a file at hand instead of a download. A broken download is resumed by the next call;
    unpacking starts anew, in a folder beside that is deleted when anything fails. Raises DataError
    (another sum, a hostile or damaged archive, other counts than published; or a source that must
    be fetched by hand: then it says from where and where to put it), StorageError (no room, a write
    that failed), ApcError.
    """
    place = place_of(known, into)
    _make_folder(into / ARCHIVES)
    with FileLock(into / ARCHIVES / f"{known.name}.lock"):
        if is_here(known, into):
            return place
        if place.exists():
            raise DataError(
                f"{place} is there already and was not made by this command; move it, or name"
                " another folder with --into"
            )
        file, sha256 = _verified(known, into, archive, say, progress)
        _check_room(file, into)
        with _beside(place) as work:
            say(f"unpacking {file}")
            extract(file, work / "unpacked")
            made = work / known.name
            known.convert(work / "unpacked", made)
            dataset = read_dataset(made, name=known.name)
            known.expected.check(dataset)
            _write_origin(made / ORIGIN, known, sha256, dataset)
            made.rename(place)
    return place


def _verified(
    known: KnownDataset,
    into: Path,
    given: Path | None,
    say: Callable[[str], None],
    progress: Progress | None,
) -> tuple[Path, str]:
    """The archive and its sum, which is the published one, or that of the first import, which is
    recorded.
    """
    path = given or archive_of(known, into)
    kept = archive_of(known, into)
    expected = known.sha256 or recorded_sum(kept)
    if given is None and known.url is not None and not path.is_file():
        say(f"fetching {known.url}")
        try:
            return path, download(known.url, path, sha256=expected, progress=progress)
        except StorageError:
            raise
        except ApcError as error:
            raise DataError(
                f"{error}; addresses change: {known.page} has the present one"
            ) from None
    if not path.is_file():
        if given is None:
            raise DataError(_by_hand(known, path))
        raise DataError(f"no such file: {given} (--archive takes {known.archive})")
    say(f"verifying {path}")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if expected is None:
        say(f"no sum of {known.archive} is published; recorded {found} of this first import")
        record_sum(kept, found)
    elif found != expected:
        whose = "published" if known.sha256 else f"recorded in {record_of(kept)}"
        raise DataError(f"{path} has sha256 {found}, expected {expected} ({whose}): fetch it again")
    return path, found


def _by_hand(known: KnownDataset, path: Path) -> str:
    todo = (
        f"download {known.archive} from {known.page}, put it at {path} or name it with --archive"
        " FILE, and call this again"
    )
    return f"{known.title} cannot be fetched by a program: {todo}"


def _check_room(archive: Path, into: Path) -> None:
    needed, free = unpacked_size(archive), shutil.disk_usage(into).free
    if needed > free:
        raise StorageError(
            f"unpacking {archive.name} needs about {needed / 1e9:.1f} GB in {into},"
            f" {free / 1e9:.1f} GB are free; make room"
        )


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A folder for the work, beside the place and so on its file system, and gone in the end."""
    work = place.with_name(f".{place.name}-{uuid4().hex[:8]}")
    try:
        work.mkdir()
        yield work
    except OSError as error:
        raise StorageError(f"cannot make {place}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror or error}") from None


def _write_origin(path: Path, known: KnownDataset, sha256: str, dataset: Dataset) -> None:
    images = sum(len(category.samples) for category in dataset.categories)
    origin = {
        "dataset": known.name,
        "title": known.title,
        "licence": known.licence,
        "archive": known.archive,
        "sha256": sha256,
        "page": known.page,
        "note": known.note,
        "categories": len(dataset.categories),
        "images": images,
        "counts_checked": known.expected.known(),
    }
    path.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
