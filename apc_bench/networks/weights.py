"""Where each backbone's weights come from, and how their file is found: given, cached, downloaded
or shipped. Loads no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from apc_bench.errors import ApcError, StorageError, UsageError, WeightsError, unknown
from apc_bench.files.download import download, record_of, record_sum, recorded_sum
from apc_bench.files.hashing import file_sha256
from apc_bench.settings.backbones import (
    BACKBONES,
    NO_BACKBONE,
    TEACHERS,
    BackboneSpec,
    is_timm,
)


@dataclass(frozen=True, slots=True)
class Network:
    """What beside its weights decides the features of a backbone that another package makes:
    `package`, its name and version, and mean and standard deviation of the images that it takes,
    which span 0 to 1.
    """

    package: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def identity(self) -> dict[str, Any]:
        """As JSON values, for keys."""
        return {"package": self.package, "mean": list(self.mean), "std": list(self.std)}

    def __str__(self) -> str:
        return f"{self.package}, mean {self.mean}, std {self.std}"


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file at hand: its absolute path, its sha256, and where it comes from (an address, a
    given file, or the package). `network`: of a backbone that is not our own.
    """

    path: Path
    sha256: str
    origin: str
    network: Network | None = None


def resolve(
    backbone: str,
    *,
    file: Path | None,
    cache: Path,
    fetch: bool = True,
    progress: Callable[[int, int | None], None] | None = None,
) -> Weights:
    """The weights file of a backbone: `file` where given, else the shipped one, else
    `cache`/weights, else a download to there; of a backbone of timm from the Hugging Face hub. For
    NO_BACKBONE no file.

    Raises `UsageError` for an unknown backbone, or one of timm without it, `WeightsError` for a
    file that is missing, cannot be had (or may not: `fetch` False) or has another sum than
    published or recorded, `StorageError` when the cache cannot be written.
    """
    if is_timm(backbone):
        from apc_bench.networks import timm_weights

        given = _given_file(backbone, file) if file is not None else None
        return timm_weights.resolve(backbone, file=given, cache=cache, fetch=fetch)
    if backbone == NO_BACKBONE:
        return Weights(Path(), NO_BACKBONE, "nothing: it starts without weights")
    spec = _spec(backbone)
    local = _local_file(backbone, spec, file)
    if local is not None:
        origin = f"file {local.name}" if file is not None else "shipped with apc-bench"
        return Weights(local, sum_of(local), origin)
    assert spec.url is not None
    path = _cached(spec, cache)
    if not path.is_file():
        if not fetch:
            raise WeightsError(
                f"{_missing(backbone, spec)}, and downloads are off; {_by_hand(path)}"
            )
        _download(spec.url, spec, path, progress)
    return Weights(path, _verified(spec, path), spec.url)


def describe(backbone: str, *, file: Path | None, cache: Path) -> str | None:
    """What `resolve` would download, in one line, or None when all is at hand. Downloads and writes
    nothing.

    Raises `UsageError` for an unknown backbone, or one of timm without it, `WeightsError` where a
    given or shipped file is missing.
    """
    if is_timm(backbone):
        from apc_bench.networks import timm_weights

        if file is not None:
            _given_file(backbone, file)
        return timm_weights.describe(backbone, given=file is not None, cache=cache)
    if backbone == NO_BACKBONE:
        return None
    spec = _spec(backbone)
    if _local_file(backbone, spec, file) is not None:
        return None
    path = _cached(spec, cache)
    if path.is_file():
        return None
    return f"{_missing(backbone, spec)}; downloaded once, to {path}; licence: {spec.licence}"


def _spec(backbone: str) -> BackboneSpec:
    if backbone not in BACKBONES and backbone not in TEACHERS:
        raise UsageError(unknown("backbone", backbone, BACKBONES))
    return (BACKBONES | TEACHERS)[backbone]


def _local_file(backbone: str, spec: BackboneSpec, given: Path | None) -> Path | None:
    """The given or shipped file, which must be there; None for a backbone whose weights live in the
    cache.
    """
    if given is not None:
        return _given_file(backbone, given)
    if spec.url is not None:
        return None
    path = Path(str(resources.files("apc_bench.networks") / spec.filename))
    if not path.is_file():
        raise WeightsError(
            f"{path}, the shipped weights of backbone '{backbone}', is missing: install apc-bench"
            " anew, or name a file with --weights FILE"
        )
    return path


def _given_file(backbone: str, given: Path) -> Path:
    path = given.expanduser().absolute()
    if not path.is_file():
        raise WeightsError(
            f"no weights file at {path}, which --weights names for backbone '{backbone}'"
        )
    return path


def _cached(spec: BackboneSpec, cache: Path) -> Path:
    return cache.expanduser().absolute() / "weights" / spec.filename


def _missing(backbone: str, spec: BackboneSpec) -> str:
    return (
        f"backbone '{backbone}' needs {spec.filename} (about {spec.size / 1e6:.0f} MB) from"
        f" {spec.url}"
    )


def _by_hand(path: Path) -> str:
    return f"put the file at {path}, or name it with --weights FILE"


def _download(
    url: str, spec: BackboneSpec, path: Path, progress: Callable[[int, int | None], None] | None
) -> None:
    try:
        download(
            url, path, sha256=_recorded(path), sha256_prefix=spec.sha256_prefix, progress=progress
        )
    except StorageError as error:
        raise StorageError(f"{error}; or name a file with --weights FILE") from error
    except ApcError as error:
        raise WeightsError(
            f"{error}; or name a file with --weights FILE, or pass --backbone builtin, which needs"
            " no download"
        ) from error


def _verified(spec: BackboneSpec, path: Path) -> str:
    """The sum of a cached file, which must be the published one, or the one recorded when the file
    was first used.
    """
    found = sum_of(path)
    expected = spec.sha256_prefix or _recorded(path)
    if expected is None:
        record_sum(path, found)
    elif not found.startswith(expected):
        known = "published" if spec.sha256_prefix else f"recorded in {record_of(path).name}"
        raise WeightsError(
            f"{path} has sha256 {found}, expected {expected} ({known}): delete it and run again, or"
            " name a file with --weights FILE"
        )
    return found


def sum_of(path: Path) -> str:
    """The sha256 of a weights file; raises `WeightsError` where it cannot be read."""
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error


def _recorded(path: Path) -> str | None:
    try:
        return recorded_sum(path)
    except ApcError as error:
        raise WeightsError(str(error)) from None
