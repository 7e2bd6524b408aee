"""What a comparison is made of, whoever measured it: a figure a row, with where it comes from and
how its definition differs from ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apc_bench.store.info import RunInfo

Key = tuple[str, int | None]
"""A system: its method's name and its shots."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one system.

    `shots`: anomalous training images, 0 for none, None where the source does not say. `category`
    None: the mean over categories as it is printed. `seed` None: not told. `metric`: of
    catalogue.METRICS, as a fraction of 1, or of COMPARED_COSTS in seconds and MiB. `subset`:
    'test', the test set without the reserve, or 'full', the whole one.
    """

    method: str
    shots: int | None
    category: str | None
    seed: int | None
    metric: str
    value: float
    subset: str = "test"

    @property
    def system(self) -> Key:
        return self.method, self.shots


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side of a comparison. `kind`: run, published or table.

    `dataset`, `categories`: None where a table does not say; `categories` are those that a printed
    mean is over. `titles`: how to call a system. `info`: run.json of a run. `cautions`: metric ->
    how its definition differs from ours, though it is compared. `apart`: the source's own name of a
    figure -> why nothing of ours is comparable. `missing`: planned and not there. `notes`: sources,
    and what a reader must know.
    """

    name: str
    kind: str
    dataset: str | None
    rows: tuple[Row, ...]
    categories: tuple[str, ...] | None
    titles: Mapping[Key, str] = field(default_factory=dict)
    info: RunInfo = field(default_factory=RunInfo)
    cautions: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[Key, ...]:
        """In the order of the rows."""
        return tuple(dict.fromkeys(row.system for row in self.rows))

    def title(self, system: Key) -> str:
        return (
            self.titles.get(system) or f"{system[0]}{f', {system[1]} shots' if system[1] else ''}"
        )
