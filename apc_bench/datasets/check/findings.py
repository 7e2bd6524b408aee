"""What a health report says of a dataset: findings, each of a level and about files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ERROR, WARNING, NOTE = "error", "warning", "note"
THRESHOLD = "threshold"
"""The kind of findings on whether a threshold can be calibrated."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: 'error' stops a sweep or makes its figures wrong; 'warning' changes what they mean;
    'note' is good to know. `files`: path -> more about it, empty where there is nothing more to
    say.
    """

    level: str
    kind: str
    text: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """A category: images by training or test and defect type, how often each size (height, width)
    and mode occurs, and what was found. `groups`: photos that look alike, a list a group.
    """

    name: str
    training: dict[str, int]
    test: dict[str, int]
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    findings: list[Finding]
    groups: list[list[str]]


def about(level: str, kind: str, text: str, files: Mapping[str, str]) -> Iterator[Finding]:
    """The finding on these files; none where there are none."""
    if files:
        yield Finding(level, kind, text, files)
