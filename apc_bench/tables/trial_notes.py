"""What trials say of themselves under a table: their notes, and why metrics are undefined."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from apc_bench.errors import listed
from apc_bench.metrics.catalogue import AT_THRESHOLD, CATALOGUE, METRICS
from apc_bench.metrics.search_recall import SearchRecall
from apc_bench.results.aggregate import Results, why_undefined
from apc_bench.tables.table import Note


def remarks_at_the_threshold(results: Results) -> Iterator[Note]:
    """Notes of the trials, such as a missing segmentation task, and why metrics are undefined, each
    with where.
    """
    yield from _remarks(results, {"threshold", *AT_THRESHOLD, *METRICS})


def remarks(results: Results) -> Iterator[Note]:
    """The same under a table without figures at the threshold: of them nothing, since the answer
    and the threshold's own table say it.
    """
    yield from _remarks(results, set(METRICS))


def _remarks(results: Results, columns: Collection[str]) -> Iterator[Note]:
    noted: dict[str, set[tuple[str, str]]] = defaultdict(set)
    undefined: dict[str, set[tuple[str, str]]] = defaultdict(set)
    metrics: dict[str, set[str]] = defaultdict(set)
    for system in results.systems:
        for row in results.rows(system):
            place = (row["category"], system.title)
            for text in row["notes"] or ():
                if SearchRecall.of_note(text):
                    continue  # approximate_search
                noted[text].add(place)
            for metric, reason in why_undefined(row).items():
                if metric not in columns:
                    continue
                undefined[reason].add(place)
                metrics[reason].add(metric)
    for text, places in sorted(noted.items()):
        yield Note("Note", f"{text} ({_where(results, places)})")
    for reason, places in sorted(undefined.items()):
        yield Note("Undefined", f"{_named(metrics[reason])}: {reason} ({_where(results, places)})")


def _named(columns: Collection[str]) -> str:
    """Columns of the metrics table as the headings of tables have them; what hangs on the
    calibrated threshold together.
    """
    names = [metric.heading for metric in CATALOGUE.values() if metric.name in columns]
    at_threshold = {"threshold", *AT_THRESHOLD}
    if at_threshold & set(columns):
        others = [CATALOGUE[name].heading for name in AT_THRESHOLD]
        names = [name for name in names if name not in others]
        names.append("all figures at the calibrated threshold")
    return ", ".join(names)


def _where(results: Results, places: set[tuple[str, str]]) -> str:
    """`all systems; bottle, cable`, of (category, title) pairs."""
    categories = {category for category, _ in places}
    titles = {title for _, title in places}
    all_titles = {system.title for system in results.systems}
    systems = _all_or_listed(titles, len(all_titles), "all systems")
    return f"{systems}; {_all_or_listed(categories, len(results.categories), 'all categories')}"


def _all_or_listed(names: set[str], total: int, everything: str) -> str:
    return everything if 1 < total == len(names) else listed(sorted(names))
