"""What other packages add: detectors and dataset readers, found by their entry points; and which
version of a package is there. Nothing is imported before its name is used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

from apc_bench.errors import UsageError

DETECTORS = "apc_bench.detectors"
READERS = "apc_bench.readers"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point. `package`: `name version` of the distribution that offers it, which is part
    of the keys of what it computes.
    """

    group: str
    name: str
    package: str
    entry: EntryPoint

    def load(self) -> Any:
        """What the entry point names. Raises UsageError where it cannot be imported."""
        try:
            return self.entry.load()
        except Exception as error:  # an import runs code that is not ours
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"{self} cannot be loaded ({self.entry.value}): {type(error).__name__}: {reason}"
            ) from error

    def __str__(self) -> str:
        return (
            f"{self.group.rsplit('.', 1)[-1].removesuffix('s')} '{self.name}' of package"
            f" {self.package}"
        )


@cache
def offered(group: str) -> dict[str, tuple[Plugin, ...]]:
    """Name -> the plugins that offer it in the installed packages; more than one is for the user to
    settle.
    """
    found: dict[str, list[Plugin]] = {}
    for entry in entry_points(group=group):
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "of unknown origin"
        found.setdefault(entry.name, []).append(Plugin(group, entry.name, package, entry))
    return {name: tuple(plugins) for name, plugins in sorted(found.items())}


def plugin(group: str, name: str, *, own: Iterable[str] = ()) -> Plugin | None:
    """The plugin of that name, or None. Raises UsageError where two packages offer it, or one
    offers a name of our own (`own`).
    """
    found = offered(group).get(name, ())
    packages = " and ".join(sorted(each.package for each in found))
    if found and name in own:
        raise UsageError(
            f"'{name}' is apc-bench's own, and package {packages} offers another: names of our own"
            " cannot be taken; uninstall it"
        )
    if len(found) > 1:
        raise UsageError(f"'{name}' is offered by {packages}: uninstall one of them")
    return found[0] if found else None


def version_of(name: str) -> str:
    """The version of an installed package, or `absent`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
