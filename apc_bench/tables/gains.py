"""Where a method helps and where it hurts: its gain over the baseline by category (docs/method.md
section 5, "Statistics").
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.results.aggregate import Results, System
from apc_bench.statistics.differences import deviation, mean
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import empty_cell, label_cell
from apc_bench.tables.number_format import signed
from apc_bench.tables.table import Cell, Column, Note, Row, Table


@dataclass(frozen=True, slots=True)
class Gain:
    """System minus baseline in percentage points: the mean over shared seeds, and its standard
    deviation (ddof 1) over them, None with one.
    """

    points: float
    sd: float | None
    seeds: int

    @property
    def clear(self) -> bool:
        """Beyond its spread over seeds; with one seed, not zero. Says nothing about
        significance.
        """
        return abs(self.points) > (self.sd or 0.0)


@dataclass(frozen=True, slots=True)
class GainSummary:
    """What a system does to one metric: the categories by gain, largest first in `helps`, largest
    loss first in `hurts`.
    """

    system: System
    metric: str
    helps: tuple[tuple[str, Gain], ...]
    hurts: tuple[tuple[str, Gain], ...]
    unclear: tuple[tuple[str, Gain], ...]


def gain(results: Results, system: System, category: str, metric: str) -> Gain | None:
    """Paired by seed; None where no seed has both."""
    if results.baseline is None:
        return None
    ours, theirs = (results.by_seed(one, category, metric) for one in (system, results.baseline))
    differences = [
        100 * (ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())
    ]
    return (
        Gain(mean(differences), deviation(differences), len(differences)) if differences else None
    )


def findings(results: Results) -> list[GainSummary]:
    """Of the fine-tuned methods at their largest number of shots, on image and pixel AUROC."""
    tuned = [system for system in results.at_most_shots() if not system.frozen]
    return [
        found
        for system in tuned
        for metric in AUROCS
        if (found := _finding(results, system, metric))
    ]


def _finding(results: Results, system: System, metric: str) -> GainSummary | None:
    gains = [
        (name, one) for name in results.categories if (one := gain(results, system, name, metric))
    ]
    ordered = sorted(gains, key=lambda pair: (-pair[1].points, pair[0]))
    helps = tuple(pair for pair in ordered if pair[1].clear and pair[1].points > 0)
    hurts = tuple(pair for pair in reversed(ordered) if pair[1].clear and pair[1].points < 0)
    return (
        GainSummary(
            system, metric, helps, hurts, tuple(pair for pair in ordered if not pair[1].clear)
        )
        if gains
        else None
    )


def compared(results: Results) -> list[System]:
    """Every system but the baseline; none without one."""
    return (
        [system for system in results.systems if system != results.baseline]
        if results.baseline
        else []
    )


def gains(results: Results) -> Table | None:
    """A row a category, a column a system, image AUROC above pixel AUROC, coloured; None without a
    baseline or a second system.
    """
    systems = compared(results)
    if not systems or results.baseline is None:
        return None
    columns = [
        Column("Category", ("category",), numeric=False),
        Column("Metric", ("metric",), numeric=False),
    ]
    columns += [
        Column(system.label, (f"{system.label}_gain_points", f"{system.label}_gain_sd"))
        for system in systems
    ]
    rows = [row for metric in AUROCS for row in _rows(results, systems, metric)]
    limits = ", ".join(
        f"{CATALOGUE[metric].heading} ± {limit(results, systems, metric):.1f} points"
        for metric in AUROCS
    )
    notes = (
        Note(
            "Gain",
            f"minus {results.baseline.label}, in percentage points, paired by seed; mean ± standard"
            " deviation (ddof 1) over seeds",
        ),
        Note(
            "Colour",
            f"blue: better than {results.baseline.title}, orange: worse; in full at {limits}",
        ),
        *about.notes(
            results,
            (about.data, about.test_set, about.image_input, about.completeness, about.computed),
        ),
    )
    return Table(
        "gains",
        f"Gain over {results.baseline.label} by category",
        tuple(columns),
        tuple(rows),
        notes,
    )


def limit(results: Results, systems: Sequence[System], metric: str) -> float:
    """The gain or loss that is drawn in full colour: the largest there is, at least one point."""
    found = (
        gain(results, system, category, metric)
        for system in systems
        for category in results.categories
    )
    return max(1.0, max((abs(one.points) for one in found if one), default=1.0))


def _rows(results: Results, systems: Sequence[System], metric: str) -> list[Row]:
    largest = limit(results, systems, metric)
    rows = []
    for category in results.categories:
        cells = [label_cell(category), label_cell(CATALOGUE[metric].heading)]
        cells += [_cell(gain(results, system, category, metric), largest) for system in systems]
        rows.append(Row(tuple(cells), metric))
    return rows


def _cell(found: Gain | None, largest: float) -> Cell:
    if found is None:
        return empty_cell(2)
    spread = "" if found.sd is None else f" ± {found.sd:.2f}"
    return Cell(
        signed(found.points) + spread, (found.points, found.sd), heat=found.points / largest
    )
