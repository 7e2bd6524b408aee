"""What the page says of the run besides its figures: what they do not rest on, the command, and the
provenance.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apc_bench.datasets.unused import ROOT
from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.wording import counted

FILES_SHOWN = 20
"""Files of a reason that the exclusions name; run.json has them all."""


def exclusions(results: Results, unshown: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """What a figure does not rest on, besides missing trials: (what, which). `unshown`: files
    behind figures that cannot be read.
    """
    for category, files in sorted(results.info.left_out.items()):
        if files:
            why = [
                f"{image} ({reason.partition(': ')[2] or reason})"
                for image, reason in files.items()
            ]
            yield f"Left out of {category}: cannot be used", ", ".join(why)
    for category, images in sorted(results.info.emptied.items()):
        if images:
            what = f"Masks of {category} that the resize emptied: image level only"
            yield what, ", ".join(images)
    yield from _unused(results)
    for line in results.damaged:
        yield "Damaged", line
    for line in unshown:
        yield "Damaged, so not shown behind its figures", line
    if results.superseded:
        older = counted(results.superseded, "older result")
        yield "Superseded", f"{older} of the same trials left aside"


def _unused(results: Results) -> Iterator[tuple[str, str]]:
    """The files that no trial uses, by category and reason."""
    for place, reasons in sorted(results.info.unused.items()):
        where = f"of {place}" if place != ROOT else "beside the categories"
        for reason, files in sorted(reasons.items()):
            yield f"Not used {where}: {reason}", f"{len(files)}: {listed(files, FILES_SHOWN)}"


def command(results: Results) -> str | None:
    """The exact command of the sweep, quoted for a shell."""
    words = results.info.command
    return shlex.join(words) if words else None


def provenance(results: Results) -> Iterator[tuple[str, str]]:
    """What run.json records besides the settings and the command, as (where, value)."""
    for key, value in results.info.as_json().items():
        if key not in ("settings", "command", "left_out", "emptied", "unused"):
            yield from _flat(key, value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "command":
                yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(item) for item in value) or "none"
    elif value is not None:
        yield name, str(value)
