"""A health report in words and as JSON."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from apc_bench.datasets.check.findings import ERROR, WARNING, Finding, Health
from apc_bench.errors import listed
from apc_bench.wording import counted

SHOWN = 8
"""Files of a finding that the text names; JSON has them all."""


def as_lines(categories: Sequence[Health], whole: Sequence[Finding]) -> Iterator[str]:
    """The report, line by line."""
    for health in categories:
        yield f"{health.name}: {_counts('train', health.training)}; {_counts('test', health.test)}"
        if health.sizes:
            sizes = listed(
                (
                    f"{width} × {height} ({number})"
                    for (height, width), number in health.sizes.items()
                ),
                4,
            )
            yield (
                f"  sizes: {sizes}; modes:"
                f" {listed(f'{mode} ({number})' for mode, number in health.modes.items())}"
            )
        for finding in health.findings:
            yield from _finding(finding, "  ")
    for finding in whole:
        yield from _finding(finding, "")
    yield verdict(categories, whole)


def failed(categories: Sequence[Health], whole: Sequence[Finding]) -> bool:
    """Whether anything stops a sweep or makes its figures wrong."""
    return any(finding.level == ERROR for finding in _all(categories, whole))


def verdict(categories: Sequence[Health], whole: Sequence[Finding]) -> str:
    """One line: how many errors and warnings, and what that means."""
    errors, warnings = (
        sum(finding.level == level for finding in _all(categories, whole))
        for level in (ERROR, WARNING)
    )
    counts = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    return f"{counts}: {'not fit for a sweep as it is' if errors else 'fit for a sweep'}"


def as_object(categories: Sequence[Health], whole: Sequence[Finding]) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "fit": not failed(categories, whole),
        "categories": [
            {
                "name": health.name,
                "training": health.training,
                "test": health.test,
                "sizes": {
                    f"{width}x{height}": number for (height, width), number in health.sizes.items()
                },
                "modes": health.modes,
                "findings": [_as_object(finding) for finding in health.findings],
                "groups": health.groups,
            }
            for health in categories
        ],
        "findings": [_as_object(finding) for finding in whole],
    }


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
    shown = list(finding.files.items())[:SHOWN]
    yield from (f"{indent}  {name!r}{f': {why}' if why else ''}" for name, why in shown)
    if len(finding.files) > SHOWN:
        yield f"{indent}  … and {len(finding.files) - SHOWN} more"


def _counts(side: str, counts: dict[str, int]) -> str:
    return (
        f"{side}"
        f" {', '.join(f'{kind} {number}' for kind, number in sorted(counts.items())) or 'nothing'}"
    )


def _all(categories: Sequence[Health], whole: Sequence[Finding]) -> list[Finding]:
    return [*(finding for health in categories for finding in health.findings), *whole]


def _as_object(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "kind": finding.kind,
        "text": finding.text,
        "files": finding.files,
    }
