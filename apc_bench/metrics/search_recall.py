"""How often an approximate search found the nearest vector: as a sentence among a trial's notes,
which tables read again.
"""

import re
from dataclasses import dataclass

_NOTE = re.compile(
    r"approximate search \((?P<search>.+)\): found the nearest bank vector of (?P<found>\d+) of"
    r" (?P<sampled>\d+) sampled patches"
)


@dataclass(frozen=True, slots=True)
class SearchRecall:
    """Of `sampled` patches, the nearest bank vector of so many was `found`. `search`: in words."""

    search: str
    found: int
    sampled: int

    @classmethod
    def of_note(cls, note: str) -> "SearchRecall | None":
        """What a note says; None of one that says something else."""
        match = _NOTE.fullmatch(note)
        if match is None:
            return None
        return cls(match["search"], int(match["found"]), int(match["sampled"]))

    @property
    def note(self) -> str:
        """As a sentence."""
        return (
            f"approximate search ({self.search}): found the nearest bank vector of {self.found} of"
            f" {self.sampled} sampled patches"
        )

    @property
    def percent(self) -> str:
        """`98.7 %`, never rounded up."""
        return f"{1000 * self.found // self.sampled / 10:.1f} %"
