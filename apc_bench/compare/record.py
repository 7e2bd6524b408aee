"""What a comparison is made of, whoever measured it: one figure a record, with where it comes from
and how its definition differs from ours.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from apc_bench.metrics.catalogue import METRICS
from apc_bench.settings.protocols import CrossFit, Holdout
from apc_bench.store.info import RunInfo

Key = tuple[str, int | None]
"""A system: its method's name and its shots."""


@dataclass(frozen=True, slots=True)
class Record:
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
        """Whose figure it is."""
        return self.method, self.shots


@dataclass(frozen=True, eq=False)
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
    records: tuple[Record, ...]
    categories: tuple[str, ...] | None
    titles: Mapping[Key, str] = field(default_factory=dict)
    info: RunInfo = field(default_factory=RunInfo)
    cautions: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_run(self) -> bool:
        """Whether the figures are of a run folder, with seeds and a record of how they came."""
        return self.kind == "run"

    @property
    def protocol(self) -> str:
        """Of a run: what its seeds and test sets are."""
        name = str(self.info.settings.get("protocol", Holdout.name))
        return f"{name} of {self.info.settings['folds']} folds" if name == CrossFit.name else name

    @property
    def systems(self) -> tuple[Key, ...]:
        """In the order of the records."""
        return tuple(self._by_system)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The quality metrics that any system has, in the order of the catalogue."""
        measured = {record.metric for record in self.records}
        return tuple(metric for metric in METRICS if metric in measured)

    def of(self, system: Key) -> list[Record]:
        """The figures of one system; none where the side does not have it."""
        return self._by_system.get(system, [])

    @cached_property
    def _by_system(self) -> Mapping[Key, list[Record]]:
        """A run has a hundred thousand records, and every pair and metric asks for some."""
        by_system: dict[Key, list[Record]] = defaultdict(list)
        for record in self.records:
            by_system[record.system].append(record)
        return dict(by_system)

    def title(self, system: Key) -> str:
        """`PatchCore`, `APC, 5 shots`: the source's own title, else the name with the shots."""
        if self.titles.get(system):
            return self.titles[system]
        name, shots = system
        return f"{name}, {shots} shots" if shots else name
