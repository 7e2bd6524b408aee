"""Do the defect photos help? The answer of a cross-fitted run, in words and as a table: what each
system finds of all defects, and what to photograph next.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.crossfit import CrossFitSummary, Detections
from apc_bench.statistics.differences import mean
from apc_bench.statistics.proportions import paired_interval, sign_test, wilson
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    empty_cell,
    interval_cell,
    label_cell,
    number_cell,
    points_cell,
    text_column,
)
from apc_bench.tables.number_format import points, points_interval
from apc_bench.tables.table import Cell, Column, Note, Row, Table

CHANCE = 0.05
NAMED = 5
"""Photos and defect types that are named at most."""

_COLUMNS = (
    text_column("Category"),
    text_column("System"),
    Column("Found of 100 defects", ("found_percent",)),
    Column("95 % interval", ("found_low_percent", "found_high_percent")),
    Column("False alarms", ("false_alarms_percent",)),
    Column("Difference", ("difference_points",)),
    Column("95 % interval ", ("difference_low_points", "difference_high_points")),
    Column("p", ("p",)),
    Column("AUROC_im, pooled", ("pooled_auroc_percent",)),
)


def sentences(summary: CrossFitSummary) -> list[str]:
    """What the engineer asked for, in words: what is found, whether the difference is beyond
    chance, what to photograph next.
    """
    baseline, *others = summary.detections
    start = (
        f"{summary.category}: with your {len(baseline.photos)} defect photos"
        f" ({summary.shots} at a time to learn from)"
    )
    if summary.undefined:
        without = f"{start} there is no threshold: {summary.undefined}. Add normal photos."
        ranked = _by_system(summary, [found.pooled_auroc for found in summary.detections])
        return [f"{without} Pooled image AUROC: {ranked}."]
    allowed = f"at {100 * summary.allowed:g} % false alarms"
    lines = []
    for found in others:
        finds = f"{found.system.title} finds {_of_100(found, ' of 100 defects')} {allowed}"
        beside = f"{baseline.system.title} {_of_100(baseline)}"
        lines.append(f"{start} {finds}, {beside}; {_difference(found, baseline)}")
    alarms = _by_system(summary, [found.false_alarms or 0 for found in summary.detections])
    lines.append(f"False alarms on the normal photos that were set apart: {alarms}.")
    lines += _too_few(summary.defects)
    return lines + _next(max((*others, baseline), key=lambda found: found.share))


def _by_system(summary: CrossFitSummary, shares: Sequence[float]) -> str:
    """`PatchCore 3 %, APC 5 %`."""
    pairs = zip(summary.detections, shares, strict=True)
    return ", ".join(f"{found.system.title} {100 * share:.0f} %" for found, share in pairs)


def _of_100(found: Detections, what: str = "") -> str:
    low, high = wilson(found.share, len(found.by_group))
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f}"
    return f"{100 * found.share:.0f}{what} ({interval})"


def _difference(found: Detections, baseline: Detections) -> str:
    gains = found.gains(baseline)
    p = sign_test(gains)
    beyond = "is beyond chance" if p < CHANCE else "is not beyond chance"
    interval = f"95 % interval {points_interval(*paired_interval(gains), 0)}"
    return f"the difference, {points(mean(gains), 0)} ({interval}), {beyond} (p = {p:.2g})."


def _too_few(defects: int) -> list[str]:
    """With n pairs the smallest two-sided p of a sign test is 2^(1 − n)."""
    needed = math.ceil(1 - math.log2(CHANCE))
    if defects >= needed:
        return []
    return [
        f"{defects} defects cannot show any difference beyond chance; {needed} can, where all of"
        " them tell for one side."
    ]


def _next(found: Detections) -> list[str]:
    """The defect types that are missed most, or the photos where there is one type."""
    title = found.system.title
    missed = sorted(
        (photo for photo in found.photos if photo.missed),
        key=lambda photo: (-photo.missed, photo.rank),
    )
    if not missed:
        return [
            f"{title} misses none of them: photograph harder defects, and other types, to learn"
            " more."
        ]
    lines = []
    types = _missed_types(found)
    if len({photo.defect_type for photo in found.photos}) > 1:
        lines.append(f"Photograph next, by what {title} misses most: {listed(types, NAMED)}.")
    hardest = listed((photo.image for photo in missed), NAMED)
    return [*lines, f"Hardest photos, of which more are needed: {hardest}."]


def _missed_types(found: Detections) -> list[str]:
    """`scratch (40 % of 5 missed)`: the defect types of which any is missed, the worst first."""
    by_type: dict[str, list[float]] = defaultdict(list)
    for photo in found.photos:
        by_type[photo.defect_type].append(photo.missed)
    missed = {kind: mean(shares) for kind, shares in by_type.items() if any(shares)}
    return [
        f"{kind} ({100 * missed[kind]:.0f} % of {len(by_type[kind])} missed)"
        for kind in sorted(missed, key=lambda kind: (-missed[kind], kind))
    ]


def crossfit_table(results: Results, summaries: Sequence[CrossFitSummary]) -> Table | None:
    """A row a category and system; None where there is no summary."""
    if not summaries:
        return None
    rows = []
    for summary in summaries:
        rows += [_row(summary, found) for found in summary.detections]
    title = "Do the defect photos help?"
    return Table("answer", title, _COLUMNS, tuple(rows), _notes(results, summaries))


def _row(summary: CrossFitSummary, found: Detections) -> Row:
    baseline = summary.detections[0]
    shares = difference = _NO_CELLS
    if not summary.undefined:
        shares = _share_cells(found)
        if found is not baseline:
            difference = _difference_cells(found.gains(baseline))
    head = (label_cell(summary.category), label_cell(found.system.label))
    auroc = number_cell(100 * found.pooled_auroc, 2)
    return Row((*head, *shares, *difference, auroc), summary.category)


_NO_CELLS = (empty_cell(), empty_cell(2), empty_cell())


def _share_cells(found: Detections) -> tuple[Cell, Cell, Cell]:
    low, high = wilson(found.share, len(found.by_group))
    return (
        number_cell(100 * found.share, 0),
        Cell(f"{100 * low:.0f} to {100 * high:.0f}", (100 * low, 100 * high)),
        number_cell(100 * (found.false_alarms or 0), 1),
    )


def _difference_cells(gains: Sequence[float]) -> tuple[Cell, Cell, Cell]:
    p = sign_test(gains)
    interval = interval_cell(*paired_interval(gains), 0)
    return points_cell(mean(gains), 0), interval, Cell(f"{p:.2g}", (p,))


def _notes(results: Results, summaries: Sequence[CrossFitSummary]) -> tuple[Note, ...]:
    found = (
        "of all defects, each tested on models that saw none of its photos, those above the"
        " calibrated threshold; interval: Wilson"
    )
    difference = (
        "to the baseline, in points, paired by defect; interval: Bonett and Price; p: exact under"
        " random signs, up to 13 pairs that differ"
    )
    pooled = (
        "each photo's rank among the normal test images under the model that scored it, mean over"
        " photos"
    )
    counts = [
        f"{summary.category} {len(summary.detections[0].photos)} photos of {summary.defects}"
        " defects"
        for summary in summaries
    ]
    return (
        Note("Found", found),
        Note("Difference", difference),
        Note("Pooled", pooled),
        Note("Defects", ", ".join(counts)),
        *about.notes(results, (about.data, about.test_set, about.image_input)),
    )
