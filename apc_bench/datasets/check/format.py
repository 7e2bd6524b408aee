"""A health report in words and as JSON."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from apc_bench.datasets.check.findings import ERROR, THRESHOLD, WARNING, Finding, Health
from apc_bench.errors import listed
from apc_bench.wording import counted

SHOWN = 8
"""Files of a finding that the text names; JSON has them all."""


def as_lines(categories: Sequence[Health], whole: Sequence[Finding]) -> Iterator[str]:
    """The report, line by line."""
    for health in categories:
        yield f"{health.name}: {_counts('train', health.training)}; {_counts('test', health.test)}"
        if health.sizes:
            yield f"  sizes: {_sizes(health)}; modes: {_modes(health)}"
        for finding in health.findings:
            yield from _finding(finding, "  ")
    for finding in whole:
        yield from _finding(finding, "")
    yield verdict(categories, whole)


def failed(categories: Sequence[Health], whole: Sequence[Finding]) -> bool:
    """Whether anything stops a sweep or makes its figures wrong."""
    return _levels(categories, whole)[ERROR] > 0


def verdict(categories: Sequence[Health], whole: Sequence[Finding]) -> str:
    """One line: how many errors and warnings, and what that means."""
    levels = _levels(categories, whole)
    fit = "fit for a sweep"
    if levels[ERROR]:
        fit = "not fit for a sweep as it is"
    elif any(_lacks_threshold(health) for health in categories):
        fit = (
            "fit for a sweep; where there is no threshold it ranks: AUROC with its interval, and"
            " the difference to PatchCore"
        )
    return f"{counted(levels[ERROR], 'error')}, {counted(levels[WARNING], 'warning')}: {fit}"


def _lacks_threshold(health: Health) -> bool:
    return any((one.level, one.kind) == (WARNING, THRESHOLD) for one in health.findings)


def as_object(categories: Sequence[Health], whole: Sequence[Finding]) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "fit": not failed(categories, whole),
        "categories": [_health_object(health) for health in categories],
        "findings": [asdict(finding) for finding in whole],
    }


def _health_object(health: Health) -> dict[str, Any]:
    sizes = {f"{width}x{height}": number for (height, width), number in health.sizes.items()}
    return {**asdict(health), "sizes": sizes}


def groups_csv(health: Health) -> str:
    """A groups.csv (image, group) of the photos that look alike; all others are groups of their
    own.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", "group"])
    for number, group in enumerate(health.groups):
        writer.writerows([name, f"alike-{number:03}"] for name in group)
    return out.getvalue()


def _finding(finding: Finding, indent: str) -> Iterator[str]:
    files = f" ({len(finding.files)})" if finding.files else ""
    yield f"{indent}{finding.level}: {finding.kind}{files}: {finding.text}"
    for name, why in list(finding.files.items())[:SHOWN]:
        yield f"{indent}  {name!r}: {why}" if why else f"{indent}  {name!r}"
    if len(finding.files) > SHOWN:
        yield f"{indent}  … and {len(finding.files) - SHOWN} more"


def _counts(side: str, counts: Mapping[str, int]) -> str:
    numbers = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()))
    return f"{side} {numbers or 'nothing'}"


def _sizes(health: Health) -> str:
    sizes = (f"{width} × {height} ({number})" for (height, width), number in health.sizes.items())
    return listed(sizes, 4)


def _modes(health: Health) -> str:
    return listed(f"{mode} ({number})" for mode, number in health.modes.items())


def _levels(categories: Sequence[Health], whole: Sequence[Finding]) -> Counter[str]:
    """How many findings there are of each level."""
    levels = Counter(finding.level for finding in whole)
    for health in categories:
        levels.update(finding.level for finding in health.findings)
    return levels
