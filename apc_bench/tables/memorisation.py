"""Whether fine-tuned systems have memorised the images that they were trained on."""

from collections.abc import Iterator, Sequence

from apc_bench.results.aggregate import Mean, Results, joint_means
from apc_bench.results.memorisation import DRAWN, HELD_OUT, UNSEEN, Memorisation
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import (
    SYSTEM_COLUMNS,
    empty_cell,
    mean_column,
    percent_cell,
    system_cells,
)
from apc_bench.tables.number_format import signed
from apc_bench.tables.table import Cell, Column, Note, Row, Table

NAME = "memorisation"
MEDIANS = {
    DRAWN: "Median drawn",
    UNSEEN: "Median unseen",
    HELD_OUT: "Median held-out normal",
}
"""Group -> heading of its median; the normal test images' own is 0."""

_COLUMNS = (
    *SYSTEM_COLUMNS,
    mean_column("AUROC, drawn against unseen", "drawn_auroc"),
    *(Column(heading, (f"{group}_median_iqr",)) for group, heading in MEDIANS.items()),
    Column("Trials", ("trials",)),
)
_TOPICS = (
    about.values,
    about.data,
    about.test_set,
    about.shots,
    about.image_input,
    about.completeness,
    about.computed,
)


def memorisation(results: Results, memorised: Sequence[Memorisation]) -> Table | None:
    """A row a fine-tuned system; None where there is none whose drawn images were scored."""
    if not memorised:
        return None
    aurocs = joint_means({one.system: one.aurocs for one in memorised}).by_system
    rows = [_row(results, one, aurocs[one.system]) for one in memorised]
    title = "Memorisation of the drawn images"
    return Table(NAME, title, _COLUMNS, tuple(rows), tuple(_notes(results)))


def _row(results: Results, found: Memorisation, auroc: Mean | None) -> Row:
    medians = [_median_cell(found.median(group)) for group in MEDIANS]
    count = Cell(str(len(found.trials)), (len(found.trials),))
    mean = percent_cell(auroc, of=len(results.categories))
    return Row((*system_cells(found.system), mean, *medians, count))


def _median_cell(median: float | None) -> Cell:
    return empty_cell() if median is None else Cell(signed(median), (median,))


def _notes(results: Results) -> Iterator[Note]:
    yield Note(
        "AUROC",
        "of the drawn images, which the fine-tuning saw, against the anomalous test images, which"
        " it did not: 50 where they score alike, 100 where every drawn image scores above every"
        " unseen one, which is memorised",
    )
    if unseen := results.settings.get("unseen"):
        yield Note("Other type", f"only '{unseen}' is tested, so the two differ in type as well")
    yield Note(
        "Medians",
        "of a trial's image scores, less the median of its normal test images (0), in interquartile"
        " ranges of these; the median over trials",
    )
    yield Note(
        "Images",
        "drawn: the anomalous training images; unseen: the anomalous test images; held-out normal:"
        " kept from the fine-tuning to calibrate. Images that are set apart but not drawn at this"
        " number of shots are left out",
    )
    yield Note(
        "Trials",
        f"a category and {results.seed_words[0]} each; with few shots the AUROC of a trial, of as"
        " many drawn images, is coarse",
    )
    yield from about.notes(results, _TOPICS)
