"""What each system finds of the defects, as tables: by category, and by defect type (in words:
answer_in_words.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from apc_bench.results.aggregate import Results, System
from apc_bench.results.answer import Answer
from apc_bench.results.changes import Change, beyond_chance
from apc_bench.results.detections import Detections
from apc_bench.statistics.auroc_interval import auroc_limits
from apc_bench.statistics.proportions import EXACT_UP_TO, Z, wilson
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    empty_cell,
    interval_cell,
    label_cell,
    number_cell,
    text_column,
)
from apc_bench.tables.gains import PALE
from apc_bench.tables.number_format import points
from apc_bench.tables.table import Cell, Column, Note, Row, Table

NAME, BY_TYPE = "answer", "types"

ALIKE = 0.10
"""A 95 % interval of the difference that lies within ± this says that two systems find about as
many [ours].
"""

SYSTEMS_MAX = 4
"""Systems that words and picture speak of: the first of the job. The table has all."""

_COLUMNS = (
    text_column("Category"),
    text_column("System"),
    Column("Found of 100 defects", ("found_percent",)),
    Column("95 % interval", ("found_low_percent", "found_high_percent")),
    Column("False alarms", ("false_alarms_percent",)),
    Column("Difference", ("difference_points",)),
    Column("95 % interval ", ("difference_low_points", "difference_high_points")),
    Column("p", ("p",)),
)
_AT_THRESHOLD = ("found_percent", "found_low_percent", "false_alarms_percent")
"""Columns, by their first fields, that stand empty where no system has a threshold."""

_TOPICS = (about.data, about.test_set, about.image_input)


def share_limits(answer: Answer, found: Detections) -> tuple[float, float]:
    """The 95 % interval of the share that a system finds, or, where there is no threshold, of its
    AUROC.
    """
    defects = len(answer.shares(found))
    if answer.undefined:
        return auroc_limits(found.auroc, defects, found.normal, Z)
    return wilson(found.share, defects)


def told(answer: Answer) -> Sequence[Detections]:
    """The systems that are spoken of besides the baseline: the fine-tuned ones, or all where none
    is.
    """
    tuned = [found for found in answer.others if not found.system.frozen]
    return (tuned or answer.others)[:SYSTEMS_MAX]


def spoken_of(answer: Answer) -> Sequence[Detections]:
    """The baseline, where there is one, and the systems that are told besides."""
    return [*([answer.baseline] if answer.baseline else []), *told(answer)]


def image_auroc(results: Results, answer: Answer, found: Detections) -> float:
    """As the other tables have it; under cross-fitting of all photos pooled."""
    if results.folded:
        return found.pooled_auroc
    own = results.in_category(found.system, answer.category, "image_auroc")
    return own.value if own else found.pooled_auroc


def answer_table(results: Results, answers: Sequence[Answer]) -> Table | None:
    """A row a category and system; None where there is no answer."""
    if not answers:
        return None
    rows = [_row(results, answer, found) for answer in answers for found in answer.detections]
    title = "Do the defect photos help?" if results.folded else "What each system finds"
    heading, field = ("AUROC_im", "auroc")
    if results.folded:
        heading, field = ("AUROC_im, pooled", "pooled_auroc")
    thresholds = not all(answer.undefined for answer in answers)
    columns = (
        *(replace(one, shown=thresholds or one.fields[0] not in _AT_THRESHOLD) for one in _COLUMNS),
        Column(heading, (f"{field}_percent",)),
        Column("95 % interval  ", (f"{field}_low_percent", f"{field}_high_percent")),
    )
    return Table(NAME, title, columns, tuple(rows), _notes(results, answers))


def _row(results: Results, answer: Answer, found: Detections) -> Row:
    shares = difference = (empty_cell(), empty_cell(2), empty_cell())
    if not answer.undefined:
        shares = _share_cells(answer, found)
    if answer.paired and found is not answer.baseline:
        difference = _difference_cells(answer.change(found), 1 if answer.undefined else 0)
    head = (label_cell(answer.category), label_cell(found.system.label))
    auroc = image_auroc(results, answer, found)
    limits = _limits_cell(auroc_limits(auroc, len(found.ranks), found.normal, Z))
    cells = (*head, *shares, *difference, number_cell(100 * auroc, 2), limits)
    return Row(cells, answer.category)


def _share_cells(answer: Answer, found: Detections) -> tuple[Cell, Cell, Cell]:
    return (
        number_cell(100 * found.share, 0),
        _limits_cell(share_limits(answer, found)),
        number_cell(None if found.false_alarms is None else 100 * found.false_alarms, 1),
    )


def _limits_cell(limits: tuple[float, float]) -> Cell:
    low, high = (100 * limit for limit in limits)
    return Cell(f"{low:.0f} to {high:.0f}", (low, high))


def _difference_cells(change: Change, decimals: int) -> tuple[Cell, Cell, Cell]:
    interval = interval_cell(*change.interval, decimals)
    difference = Cell(points(change.printed(decimals), decimals), (100 * change.mean,))
    return difference, interval, Cell(f"{change.p:.2g}", (change.p,))


def _notes(results: Results, answers: Sequence[Answer]) -> tuple[Note, ...]:
    models = "each tested on models that saw none of its photos, " if results.folded else ""
    found = f"of all defects tested, {models}those above the calibrated threshold; interval: Wilson"
    difference = (
        "to the baseline in defects found, or in AUROC where there is no threshold, in points,"
        " paired by defect; interval: Bonett and Price; p: under random"
        f" signs, exact up to {EXACT_UP_TO} defects that differ. It speaks of these models and"
        " further defects like these, not of other categories"
    )
    of_photos = (
        "each photo's rank among the normal test images under the model that scored it, mean over"
        " photos"
    )
    auroc = of_photos if results.folded else f"mean over {results.seed_words[1]}"
    verdicts = (
        "yes, or no with fewer found: p is below 0.05 (of several categories, corrected for their"
        " number by Holm) and the 95 % interval leaves out 0; about as many: the interval lies"
        f" within ±{100 * ALIKE:.0f}; else it cannot be told"
    )
    return (
        *([Note("Yes or no", verdicts)] if any(answer.paired for answer in answers) else []),
        Note("Found", found),
        Note("Difference", difference),
        Note("AUROC_im", f"{auroc}; interval: Newcombe, of so many defects"),
        *_counts(results, answers),
        *about.notes(results, _TOPICS),
    )


def _counts(results: Results, answers: Sequence[Answer]) -> list[Note]:
    """How many defects there are, and on which seeds the answer rests."""
    _, many = results.seed_words
    counts = [
        f"{answer.category} {len(answer.detections[0].photos)} photos of {answer.defects} defects"
        for answer in answers
    ]
    notes = [Note("Defects", ", ".join(counts))]
    if len(results.seeds) > 1 and not results.folded:
        share = f"a defect counts by the share of {many} that found it, of those that tested it"
        fewest = min(len(answer.seeds) for answer in answers)
        if fewest < len(results.seeds):
            share += f"; of {fewest} of {len(results.seeds)} {many}"
        notes.append(Note(many.capitalize(), share))
    return notes


def types_table(results: Results, answers: Sequence[Answer]) -> Table | None:
    """A row a category and defect type: the share that each system finds, then what each changes
    against the baseline, coloured; None where no category has two types and a threshold.
    """
    told = [answer for answer in answers if len(answer.types) > 1 and not answer.undefined]
    if not told:
        return None
    systems = list(dict.fromkeys(found.system for answer in told for found in answer.detections))
    columns = [
        text_column("Category"),
        text_column("Defect type", "defect_type"),
        Column("Defects", ("defects",)),
        *(Column(system.label, (f"{system.label}_found_percent",)) for system in systems),
    ]
    changed = [system for system in systems if system in results.others]
    for system in changed:
        fields = (f"{system.label}_difference_points", f"{system.label}_p")
        columns.append(Column(f"Change by {system.label}", fields))
    rows = [row for answer in told for row in _type_rows(answer, systems, changed)]
    notes = (
        Note("Systems", "of 100 defects of the type, those found at the calibrated threshold"),
        Note(
            "Change",
            "against the baseline, in points, paired by defect; pale where it is within chance: p"
            " under random signs, corrected for the types of a category (Holm), is 0.05 or more",
        ),
        *about.notes(results, (about.test_set,)),
    )
    return Table(BY_TYPE, "Found by defect type", tuple(columns), tuple(rows), notes)


def _type_rows(
    answer: Answer, systems: Sequence[System], changed: Sequence[System]
) -> Iterator[Row]:
    of_system = {found.system: found for found in answer.detections}
    by_type = {
        system: answer.by_type(of_system[system]) for system in changed if system in of_system
    }
    clear = {system: beyond_chance(changes) for system, changes in by_type.items()}
    for kind in answer.types:
        cells = [label_cell(answer.category), label_cell(kind)]
        cells.append(number_cell(len(answer.detections[0].of_type(kind).found), 0))
        for system in systems:
            found = of_system.get(system)
            cells.append(number_cell(100 * found.of_type(kind).share if found else None, 0))
        for system in changed:
            if system in by_type:
                cells.append(_change_cell(by_type[system][kind], clear=kind in clear[system]))
            else:
                cells.append(empty_cell(2))
        yield Row(tuple(cells), answer.category)


def _change_cell(change: Change, *, clear: bool) -> Cell:
    heat = change.mean if clear else PALE * change.mean
    return Cell(points(change.printed(), 0), (100 * change.mean, change.p), heat=heat)
