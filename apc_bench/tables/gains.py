"""Where a method helps and where it hurts: its gain over the baseline by category (docs/method.md
section 5, "Statistics").
"""

from dataclasses import dataclass

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.results.aggregate import Results, System
from apc_bench.statistics.differences import deviation, mean
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import empty_cell, label_cell, text_column
from apc_bench.tables.number_format import signed
from apc_bench.tables.table import Cell, Column, Note, Row, Table

PALE = 0.2
"""What is left of a colour where a gain lies within its spread."""


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

    def heat(self, largest: float) -> float:
        """The colour, from −1 to 1, where a gain of `largest` has it in full: pale within the
        spread over seeds.
        """
        return max(-1.0, min(1.0, self.points / largest)) * (1.0 if self.clear else PALE)


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
    ours = results.by_seed(system, category, metric)
    theirs = results.by_seed(results.baseline, category, metric)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    points = [100 * (ours[seed] - theirs[seed]) for seed in shared]
    return Gain(mean(points), deviation(points), len(points))


def gain_summaries(results: Results) -> list[GainSummary]:
    """Of the fine-tuned methods at their largest number of shots, on image and pixel AUROC."""
    tuned = [system for system in results.at_most_shots() if not system.frozen]
    summaries = [_summary(results, system, metric) for system in tuned for metric in AUROCS]
    return [summary for summary in summaries if summary]


def _summary(results: Results, system: System, metric: str) -> GainSummary | None:
    by_category = {name: gain(results, system, name, metric) for name in results.categories}
    pairs = [(name, found) for name, found in by_category.items() if found]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: (-pair[1].points, pair[0]))
    helps, hurts, unclear = [], [], []
    for name, found in pairs:
        if not found.clear:
            unclear.append((name, found))
        elif found.points > 0:
            helps.append((name, found))
        else:
            hurts.append((name, found))
    return GainSummary(system, metric, tuple(helps), tuple(reversed(hurts)), tuple(unclear))


def gains(results: Results) -> Table | None:
    """A row a category, a column a system, image AUROC above pixel AUROC, coloured; None without a
    baseline or a second system.
    """
    if results.baseline is None or not results.others:
        return None
    columns = [text_column("Category"), text_column("Metric")]
    for system in results.others:
        fields = (f"{system.label}_gain_points", f"{system.label}_gain_sd")
        columns.append(Column(system.label, fields))
    rows = [row for metric in results.shown(AUROCS) for row in _rows(results, metric)]
    notes = _notes(results, results.baseline)
    title = f"Gain over {results.baseline.label} by category"
    return Table("gains", title, tuple(columns), tuple(rows), notes)


def largest_gain(results: Results, metric: str) -> float:
    """The gain or loss that is drawn in full colour: the largest of any system and category, at
    least one point, so that no cell lies beyond the scale.
    """
    found = [
        gain(results, system, category, metric)
        for system in results.others
        for category in results.categories
    ]
    return max([1.0, *(abs(one.points) for one in found if one)])


def _rows(results: Results, metric: str) -> list[Row]:
    largest = largest_gain(results, metric)
    rows = []
    for category in results.categories:
        head = (label_cell(category), label_cell(CATALOGUE[metric].heading))
        found = [gain(results, system, category, metric) for system in results.others]
        rows.append(Row((*head, *(_cell(one, largest) for one in found)), metric))
    return rows


def _cell(found: Gain | None, largest: float) -> Cell:
    if found is None:
        return empty_cell(2)
    text = signed(found.points)
    if found.sd is not None:
        text += f" ± {found.sd:.2f}"
    return Cell(text, (found.points, found.sd), heat=found.heat(largest))


def _notes(results: Results, baseline: System) -> tuple[Note, ...]:
    one, many = results.seed_words
    rule = (
        f"minus {baseline.label}, in percentage points, paired by {one}; mean ± standard deviation"
        f" (ddof 1) over {many}"
    )
    limits = ", ".join(
        f"{CATALOGUE[metric].heading} ± {largest_gain(results, metric):.1f} points"
        for metric in results.shown(AUROCS)
    )
    colour = f"blue: better than {baseline.title}, orange: worse; in full at {limits}"
    if len(results.seeds) > 1:
        colour += f"; pale where the gain lies within its spread over {many}"
    topics = (
        about.folds,
        about.data,
        about.test_set,
        about.image_input,
        about.completeness,
        about.computed,
    )
    return (Note("Gain", rule), Note("Colour", colour), *about.notes(results, topics))
