"""A run against figures that somebody printed: published ones by name, or another tool's table
(compare/sources.py). They have no seeds and no noise of their own, so the noise is the run's alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from apc_bench.compare.record import Key, Side
from apc_bench.errors import UsageError, listed, unknown
from apc_bench.gate.verdicts import Family
from apc_bench.results.aggregate import FULL, TEST, System
from apc_bench.results.pairing import Missing, Pair, figures
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.differences import mean

Chosen = tuple[System, Key]


def choose(
    tonight: RecordedRun, side: Side, asked: Sequence[tuple[str, str]]
) -> tuple[list[Chosen], list[str]]:
    """The run's systems, each with the printed one that it is judged against, and why others have
    none.

    `asked`: by name, a method of the run (`apc`, or `apc@10` for one of its shots) and a system of
    the table. Else those of the same shots and the same first word of their titles, where there is
    one of each. Raises UsageError for a name that is not there.
    """
    if asked:
        return [(_system(tonight, ours), _key(side, theirs)) for ours, theirs in asked], []
    chosen, reasons = [], []
    for system in tonight.results.systems:
        fitting = [key for key in side.systems if _fits(system, side, key)]
        if len(fitting) == 1:
            chosen.append((system, fitting[0]))
        elif fitting:
            reasons.append(
                f"{system.label} may be any of {listed(map(side.title, fitting))}; say which with"
                f" --pair {system.method}=NAME"
            )
    by_key: dict[Key, list[System]] = {}
    for system, key in chosen:
        by_key.setdefault(key, []).append(system)
    for key, systems in by_key.items():
        if len(systems) > 1:
            labels = listed(system.label for system in systems)
            reasons.append(
                f"{labels} may all be {side.title(key)}; say which with --pair"
                f" METHOD={side.title(key)!r}"
            )
    chosen = [(system, key) for system, key in chosen if len(by_key[key]) == 1]
    if not chosen and not reasons:
        titles = listed(map(side.title, side.systems), 12)
        reasons.append(
            f"no system of the run is one of {side.name} by title and shots ({titles}); say which"
            " with --pair METHOD=NAME"
        )
    return chosen, reasons


def _fits(system: System, side: Side, key: Key) -> bool:
    """The same shots, and the same first word of the title."""
    return key[1] == system.shots and _word(side.title(key)) == _word(system.title)


def _word(title: str) -> str:
    return title.replace(",", " ").split()[0].casefold() if title.split() else ""


def _system(tonight: RecordedRun, name: str) -> System:
    method, _, shots = name.partition("@")
    systems = tonight.results.systems
    fitting = [system for system in systems if system.method == method]
    if shots:
        fitting = [system for system in fitting if str(system.shots) == shots]
    if len(fitting) == 1:
        return fitting[0]
    known = [
        f"{system.method}@{system.shots}" if system.shots else system.method for system in systems
    ]
    raise UsageError(
        f"--pair {name}: {len(fitting) or 'no'} systems of the run;"
        f" {unknown('system', name, known)}"
    )


def _key(side: Side, name: str) -> Key:
    fitting = [key for key in side.systems if name in (key[0], side.title(key))]
    if len(fitting) == 1:
        return fitting[0]
    raise UsageError(
        f"{len(fitting) or 'no'} systems of {side.name};"
        f" {unknown('system', name, map(side.title, side.systems))}"
    )


def printed_families(
    tonight: RecordedRun, side: Side, chosen: Sequence[Chosen], metrics: Sequence[str]
) -> tuple[list[Family], list[Missing], list[str]]:
    """The pairs with the printed figures, what of these has no counterpart in the run, and what a
    reader must know of each pair.
    """
    families: list[Family] = []
    missing: list[Missing] = []
    notes = []
    for metric, difference in side.cautions.items():
        if metric in metrics:
            notes.append(f"{side.name} has {metric} as: {difference}")
    for system, key in chosen:
        subset = FULL if tonight.results.rows(system, FULL) else TEST
        note = f"{system.label} is judged against {side.title(key)}"
        if subset == TEST:
            note += ", which was tested with the reserve too"
        notes.append(note)
        for category, seed, reason in tonight.results.missing(system):
            missing.append(Missing(system.label, category, seed, f"tonight {reason}"))
        for metric in metrics:
            printed = _Printed.read(tonight, side, key, metric)
            if printed is not None:
                family, absent = printed.against(tonight, system, subset)
                families += [] if family is None else [family]
                missing += absent
    return families, missing, notes


@dataclass(frozen=True, slots=True)
class _Printed:
    """A metric of one system as a table prints it, as fractions of 1: `single` by category, or,
    where it has no category, the `mean` over the `categories`.
    """

    metric: str
    single: Mapping[str, float]
    mean: float
    categories: tuple[str, ...]

    @classmethod
    def read(cls, tonight: RecordedRun, side: Side, key: Key, metric: str) -> Self | None:
        """None where the table does not have the metric of the system. A table that does not say
        what its mean is over is taken to be of the run's categories.
        """
        values: dict[str | None, list[float]] = {}
        for record in side.of(key):
            if record.metric == metric:
                values.setdefault(record.category, []).append(record.value)
        if not values:
            return None
        single = {name: mean(own) for name, own in values.items() if name is not None}
        if single:
            return cls(metric, single, math.nan, tuple(sorted(single)))
        categories = side.categories or tonight.results.categories
        return cls(metric, single, mean(values[None]), categories)

    def against(
        self, tonight: RecordedRun, system: System, subset: str
    ) -> tuple[Family | None, list[Missing]]:
        """The run's figures beside the printed ones, and what has no counterpart; no figures where
        nothing can be judged.
        """
        measured = tonight.results.categories
        lacking = [name for name in self.categories if name not in measured]
        if lacking and not self.single:
            which = f"of which tonight lacks {len(lacking)}"
            return None, [self._no_mean(system, which)]
        absent = [Missing(system.label, name, None, "not in tonight's run") for name in lacking]
        categories = tuple(name for name in self.categories if name in measured)
        if not categories:
            return None, absent
        pair = self._pair(system, categories)
        new = figures(tonight.results, system, pair, self.metric, subset)
        if not np.isfinite(new).any():
            reason = f"{self.metric} is undefined tonight"
            return None, [*absent, Missing(system.label, None, None, reason)]
        if not self.single and not np.isfinite(new).all():
            return None, [*absent, self._no_mean(system, "which tonight's is not whole for")]
        column = np.array([self.single.get(name, self.mean) for name in categories])
        # a trial without a result is named once
        old = np.where(np.isfinite(new), column[:, None], np.nan)
        history = np.empty((0, *new.shape))
        mean_only = not self.single and len(categories) > 1
        return Family(pair, self.metric, new, old, history, mean_only=mean_only), absent

    def _pair(self, system: System, categories: tuple[str, ...]) -> Pair:
        """A table has no seeds: each seed of the run stands beside the same figure."""
        places = frozenset(itertools.product(categories, system.seeds))
        return Pair(system, system, categories, system.seeds, places, len(self.categories))

    def _no_mean(self, system: System, which: str) -> Missing:
        reason = f"{self.metric}: a mean over {len(self.categories)} categories, {which}"
        return Missing(system.label, None, None, reason)
