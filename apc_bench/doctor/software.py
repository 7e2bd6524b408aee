"""What is installed: this package, the libraries that it needs, extras, plug-ins."""

import importlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import apc_bench
from apc_bench import plugins
from apc_bench.doctor.fact import Fact
from apc_bench.errors import UsageError
from apc_bench.plugins import version_of
from apc_bench.results.folders import reports_folder
from apc_bench.settings.job import shipped_jobs
from apc_bench.store.provenance import COMPUTES, RECORDED, version_line

DISTRIBUTION = "apc-bench"
MODULES = {"pillow": "PIL"}
"""Where a library's module has another name than its distribution."""
EXTRAS = {
    "anomalib": ("anomalib",),
    "cluster": ("aiohttp", "opencensus", "smart_open"),
    "mlflow": ("mlflow-skinny",),
    "timm": ("timm",),
}
"""Extra -> the distributions that it brings, as far as they tell whether it is there."""


def package() -> Fact:
    """This package: version, revision, where it lies, whether it is whole; and the Python."""
    folder = Path(apc_bench.__file__).resolve().parent
    python = f"{platform.python_version()} ({sys.executable})"
    faults = []
    try:
        reports_folder()
    except FileNotFoundError as error:
        faults.append(str(error))
    if not shipped_jobs():
        faults.append(
            f"no job files beside {folder}: the installation is incomplete; install again"
        )
    value = {"version": version_line(), "folder": str(folder), "python": python}
    return Fact(
        "apc-bench", f"{version_line()}, in {folder}, Python {python}", value, tuple(faults)
    )


def libraries() -> Fact:
    """The versions of what computes and of what is recorded; faulty where one is missing, older
    than needed or cannot be loaded.
    """
    versions = {name: version_of(name) for name in (*COMPUTES, *RECORDED)}
    faults = [*_unmet(), *_unloadable(versions)]
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Fact("libraries", text, versions, tuple(faults))


def _unmet() -> Iterator[str]:
    """Requirements of this package that the environment does not meet, as after a change by
    hand.
    """
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in lines:
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line)
        if match is None:  # an extra's
            continue
        name, least = match[1], match[2]
        there = version_of(name)
        if there == "absent":
            yield f"{name} is not installed: pip install '{name}>={least}'"
        elif _release(there) < _release(least):
            yield f"{name} is {there}, {least} or newer is needed: pip install '{name}>={least}'"


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _unloadable(versions: dict[str, str]) -> Iterator[str]:
    """Ray is started in a process of its own (places.py)."""
    for name, version in versions.items():
        if version == "absent" or name == "ray":
            continue
        try:
            importlib.import_module(MODULES.get(name, name))
        except Exception as error:  # a library's own code, or the linker's
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            yield f"{name} {version} is installed and cannot be loaded ({reason}): install it anew"


def extras() -> Fact:
    """Which extras are there, and how the others come."""
    there = {
        extra: all(version_of(name) != "absent" for name in names)
        for extra, names in EXTRAS.items()
    }
    text = ", ".join(
        f"{extra} here" if here else f"{extra} not here (pip install '{DISTRIBUTION}[{extra}]')"
        for extra, here in there.items()
    )
    return Fact("extras", text, there)


def other_packages() -> Fact:
    """Detectors and readers of other packages; faulty where one cannot be loaded or used."""
    names, faults = [], []
    for group in (plugins.DETECTORS, plugins.READERS):
        for name in plugins.offered(group):
            try:
                one = plugins.plugin(group, name)
                if one is not None:
                    one.load()
                    names.append(str(one))
            except UsageError as error:
                faults.append(str(error))
    return Fact("plug-ins", ", ".join(names) or "none", names, tuple(faults))
