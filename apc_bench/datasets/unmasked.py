"""What systems make of defect photos without masks, in words before a sweep."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from apc_bench.datasets.samples import Category
from apc_bench.errors import listed
from apc_bench.settings.base import DetectorSettings
from apc_bench.wording import enumerated

Systems = Mapping[str, DetectorSettings]
"""What systems are called -> their settings."""


def without_masks(systems: Systems) -> str | None:
    """What the systems do that learn from masks; None where none does."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, settings in systems.items():
        if settings.without_masks:
            names[settings.without_masks].append(name)
    return "; ".join(f"{enumerated(who)} {what}" for what, who in names.items()) or None


def unmasked_lines(categories: Iterable[Category], systems: Systems) -> Iterator[str]:
    """One line where categories have no masks, and systems that learn from them."""
    bare = [f"'{category.name}'" for category in categories if not category.masked]
    told = without_masks(systems)
    if bare and told:
        yield f"no masks in {listed(bare)}: {told}"
