"""Where each backbone's weights come from, and how their file is found: given, cached, downloaded
or shipped. Loads no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from apc_bench.download import download, file_sha256, record_of, record_sum, recorded_sum
from apc_bench.errors import ApcError, StorageError, UsageError, WeightsError, unknown

_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet-1k, which has its own terms"
_MOCO_V3 = "https://dl.fbaipublicfiles.com/moco-v3/"


@dataclass(frozen=True, slots=True)
class Source:
    """A weights file: its name, its address (None: shipped in the package), what is known of its
    sha256, its size and its licence.

    `sha256_prefix` is None where no sum is published: the first sum seen is then recorded beside
    the file and holds from then on. `size` in bytes is approximate, for messages.
    """

    filename: str
    url: str | None
    sha256_prefix: str | None
    size: int
    licence: str


# torchvision names its files after the first eight digits of their sha256; docs/method.md sections
# 3 and 7.
SOURCES: dict[str, Source] = {
    "resnet18": Source(
        "resnet18-f37072fd.pth",
        _TORCHVISION + "resnet18-f37072fd.pth",
        "f37072fd",
        46_800_000,
        _TORCHVISION_LICENCE,
    ),
    "resnet50": Source(
        "resnet50-0676ba61.pth",
        _TORCHVISION + "resnet50-0676ba61.pth",
        "0676ba61",
        102_500_000,
        _TORCHVISION_LICENCE,
    ),
    "wide_resnet50_2": Source(
        "wide_resnet50_2-95faca4d.pth",
        _TORCHVISION + "wide_resnet50_2-95faca4d.pth",
        "95faca4d",
        138_200_000,
        _TORCHVISION_LICENCE,
    ),
    # The size is an estimate: two encoders with projectors, the predictor and the optimiser's
    # state, in float32.
    "moco_v3_resnet50": Source(
        "r-50-1000ep.pth.tar",
        _MOCO_V3 + "r-50-1000ep/r-50-1000ep.pth.tar",
        None,
        410_000_000,
        "CC BY-NC 4.0 (non-commercial)",
    ),
    "builtin": Source("builtin.safetensors", None, None, 1_400_000, "Apache-2.0"),
}


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file at hand: its absolute path, its sha256, and where it comes from (an address, a
    given file, or the package).
    """

    path: Path
    sha256: str
    origin: str


def resolve(
    backbone: str,
    *,
    file: Path | None,
    cache: Path,
    fetch: bool = True,
    progress: Callable[[int, int | None], None] | None = None,
) -> Weights:
    """The weights file of a backbone: `file` where given, else the shipped one, else
    `cache`/weights, else a download to there.

    Raises `UsageError` for an unknown backbone, `WeightsError` for a file that is missing, cannot
    be had (or may not: `fetch` False) or has another sum than published or recorded, `StorageError`
    when the cache cannot be written.
    """
    source = _source(backbone)
    if (local := _local_file(backbone, source, file)) is not None:
        origin = f"file {local.name}" if file is not None else "shipped with apc-bench"
        return Weights(local, _sum(local), origin)
    assert source.url is not None
    path = _cached(source, cache)
    if not path.is_file():
        if not fetch:
            raise WeightsError(
                f"{_missing(backbone, source)}, and downloads are off; {_by_hand(path)}"
            )
        _download(source.url, source, path, progress)
    return Weights(path, _verified(source, path), source.url)


def describe(backbone: str, *, file: Path | None, cache: Path) -> str | None:
    """What `resolve` would download, in one line, or None when all is at hand. Downloads and writes
    nothing.

    Raises `UsageError` for an unknown backbone, `WeightsError` where a given or shipped file is
    missing.
    """
    source = _source(backbone)
    if _local_file(backbone, source, file) is not None:
        return None
    path = _cached(source, cache)
    if path.is_file():
        return None
    return f"{_missing(backbone, source)}; would be downloaded to {path}; licence: {source.licence}"


def _source(backbone: str) -> Source:
    if backbone not in SOURCES:
        raise UsageError(unknown("backbone", backbone, SOURCES))
    return SOURCES[backbone]


def _local_file(backbone: str, source: Source, given: Path | None) -> Path | None:
    """The given or shipped file, which must be there; None for a backbone whose weights live in the
    cache.
    """
    if given is not None:
        path = given.expanduser().absolute()
        if not path.is_file():
            raise WeightsError(
                f"no weights file at {path}, which --weights names for backbone '{backbone}'"
            )
        return path
    if source.url is not None:
        return None
    path = Path(str(resources.files("apc_bench.networks") / source.filename))
    if not path.is_file():
        raise WeightsError(
            f"{path}, the shipped weights of backbone '{backbone}', is missing: install apc-bench"
            " anew, or name a file with --weights FILE"
        )
    return path


def _cached(source: Source, cache: Path) -> Path:
    return cache.expanduser().absolute() / "weights" / source.filename


def _missing(backbone: str, source: Source) -> str:
    return (
        f"backbone '{backbone}' needs {source.filename} (about {source.size / 1e6:.0f} MB) from"
        f" {source.url}"
    )


def _by_hand(path: Path) -> str:
    return f"put the file at {path}, or name it with --weights FILE"


def _download(
    url: str, source: Source, path: Path, progress: Callable[[int, int | None], None] | None
) -> None:
    try:
        download(
            url, path, sha256=_recorded(path), sha256_prefix=source.sha256_prefix, progress=progress
        )
    except StorageError as error:
        raise StorageError(f"{error}; or name a file with --weights FILE") from error
    except ApcError as error:
        raise WeightsError(f"{error}; or name a file with --weights FILE") from error


def _verified(source: Source, path: Path) -> str:
    """The sum of a cached file, which must be the published one, or the one recorded when the file
    was first used.
    """
    found = _sum(path)
    expected = source.sha256_prefix or _recorded(path)
    if expected is None:
        record_sum(path, found)
    elif not found.startswith(expected):
        known = "published" if source.sha256_prefix else f"recorded in {record_of(path).name}"
        raise WeightsError(
            f"{path} has sha256 {found}, expected {expected} ({known}): delete it and run again, or"
            " name a file with --weights FILE"
        )
    return found


def _sum(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error


def _recorded(path: Path) -> str | None:
    try:
        return recorded_sum(path)
    except ApcError as error:
        raise WeightsError(str(error)) from None
