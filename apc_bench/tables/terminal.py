"""The poster's table for a terminal of 80 characters (rich)."""

from collections.abc import Sequence

from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.results.aggregate import Results
from apc_bench.tables import footnotes as about
from apc_bench.tables.accuracy import COMMON, poster
from apc_bench.tables.table import Table


def terminal_table(results: Results) -> TerminalTable:
    """The systems on the common test set."""
    table = poster(results, ())
    figures = [CATALOGUE[metric].heading for metric in results.shown(POSTER)]
    caption = f"Percent, {_spread(results)}; F1: the largest over all thresholds, an oracle"
    if results.folded:
        caption += "\nMeans of folds; the answer takes all photos together, so its AUROC is another"
    if any("/" in cell.text for row in table.rows for cell in row.cells):
        caption += "\n(2/3): over 2 of 3 categories, those complete for every system"
    if missing := sum(len(results.missing(system)) for system in results.systems):
        caption += f"\nMissing trials: {missing}"
    return terminal(table, columns=("System", "Shots", *figures), block=COMMON, caption=caption)


def remarks(results: Results) -> list[str]:
    """What must be said of the results beside the table, a line each."""
    return [f"note: {note.text}" for note in about.like_normal(results)]


def _spread(results: Results) -> str:
    means = "mean over categories" if len(results.categories) > 1 else "mean"
    if len(results.seeds) == 1:
        return f"{means}, one {results.seed_words[0]}"
    return f"{means} ± sd over {len(results.seeds)} {results.seed_words[1]}"


def terminal(table: Table, *, columns: Sequence[str], block: str, caption: str) -> TerminalTable:
    """One block of a table and the columns of these titles. Raises ValueError for a title that the
    table does not have.
    """
    titles = [column.title for column in table.columns]
    places = [titles.index(title) for title in columns]
    shown = TerminalTable(
        title=Text(table.title),
        caption=Text(caption),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for place in places:
        numeric = table.columns[place].numeric
        shown.add_column(
            Text(titles[place]),
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=5 if numeric else 12,
        )
    for row in table.rows:
        if row.block == block:
            cells = [row.cells[place] for place in places]
            shown.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    return shown
