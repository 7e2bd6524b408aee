"""What stands under a table: how its figures were made, what is missing, and what a reader must
know (docs/method.md sections 2 and 5).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from apc_bench.errors import listed
from apc_bench.results.aggregate import FULL, Results
from apc_bench.store.info import RunInfo
from apc_bench.tables.table import Note
from apc_bench.wording import counted

Topic = Callable[[Results], Iterable[Note]]

RESIZES = {
    "square": "both sides resized to the input size",
    "letterbox": "the longer side resized to the input size, black borders",
    "crop": "the shorter side resized to 256/224 of the input size, then the centre cropped",
}


def notes(results: Results, topics: Sequence[Topic]) -> tuple[Note, ...]:
    """The notes of the topics, in their order."""
    return tuple(note for topic in topics for note in topic(results))


def values(results: Results) -> Iterable[Note]:
    many = len(results.categories) > 1
    mean = "mean over categories of the mean over seeds" if many else "mean over seeds"
    spread = (
        "± standard deviation (ddof 1) over the seeds"
        f" {_numbers(results.seeds)}{' of the mean over categories' * many}"
    )
    if len(results.seeds) == 1:
        spread = f"one seed ({results.seeds[0]}), so no spread"
    yield Note("Values", f"percent; {mean}; {spread}")
    if many:
        rule = (
            "over these categories only, those where it is defined and complete for every system"
            " that has any"
        )
        yield Note("(2/3)", f"2 of 3: {rule}")
    if any(len(system.seeds) < len(results.seeds) for system in results.systems):
        yield Note(
            "Seeds",
            "; ".join(f"{system.label}: {_numbers(system.seeds)}" for system in results.systems),
        )


def values_of_a_category(results: Results) -> Iterable[Note]:
    yield Note(
        "Values",
        f"percent; mean ± standard deviation (ddof 1) over the seeds {_numbers(results.seeds)};"
        " (2/3): two of three seeds",
    )


def bold(results: Results) -> Iterable[Note]:
    yield Note(
        "Bold",
        "best of the systems that rest on the same test set, categories and seeds; no statement"
        " about significance",
    )


def data(results: Results) -> Iterable[Note]:
    yield Note(
        "Data",
        f"{results.dataset}, {counted(len(results.categories), 'category', 'categories')}:"
        f" {listed(results.categories, 20)}",
    )
    left_out = {category: files for category, files in results.info.left_out.items() if files}
    if left_out:
        files = ", ".join(
            f"{category} {len(files)}" for category, files in sorted(left_out.items())
        )
        yield Note("Left out", f"files that could not be read (--skip-unreadable): {files}")


def test_set(results: Results) -> Iterable[Note]:
    if part := results.settings.get("part"):
        yield Note(
            "Part",
            f"only test images that groups.csv puts in part '{part}'; draws come from it too",
        )
    full = any(results.rows(system, FULL) for system in results.systems)
    for heading, text in results.protocol.footnotes(len(results.seeds), full=full):
        yield Note(heading, text)


def shots(results: Results) -> Iterable[Note]:
    yield Note(
        "Shots",
        "anomalous training images per category, a prefix of the reserve; –: a frozen extractor,"
        " which sees none",
    )


def image_input(results: Results) -> Iterable[Note]:
    size, resize = results.settings["image_size"], results.settings["resize"]
    yield Note("Input", f"{size} × {size} px, resize {resize}: {RESIZES[resize]}")


def masks(results: Results) -> Iterable[Note]:
    yield Note(
        "Masks",
        "binary first (128 or more of 255; in masks of label ids any id above 0), then resized with"
        " nearest neighbour",
    )
    emptied = {category: images for category, images in results.info.emptied.items() if images}
    if emptied:
        counts = ", ".join(
            f"{category} {len(images)}" for category, images in sorted(emptied.items())
        )
        yield Note(
            "Emptied masks",
            f"the resize left no anomalous pixel in: {counts}; these images count at image level"
            " only",
        )


def f1(results: Results) -> Iterable[Note]:
    yield Note(
        "F1",
        "largest F1 over all thresholds of the exact curve, per category; the threshold is chosen"
        " on the test set: an oracle",
    )


def pixel_level(results: Results) -> Iterable[Note]:
    yield Note("Pixel level", "over all pixels of all test images of a category together")


def au_pro(results: Results) -> Iterable[Note]:
    text = (
        "area under the per-region overlap up to a false-positive rate of 0.3 over all normal"
        " pixels, divided by 0.3; 8-connected regions"
    )
    yield Note("AU-PRO", text)


def completeness(results: Results) -> Iterable[Note]:
    """Missing trials and damaged files, with reasons."""
    missing = [(system, *place) for system in results.systems for place in results.missing(system)]
    total = sum(len(system.seeds) for system in results.systems) * len(results.categories)
    if missing:
        reasons: dict[str, list[str]] = {}
        for system, category, seed, reason in missing:
            reasons.setdefault(reason, []).append(f"{system.label} on {category}, seed {seed}")
        why = "; ".join(
            f"{reason} ({listed(places, 4)})" for reason, places in sorted(reasons.items())
        )
        yield Note("Missing", f"{len(missing)} of {counted(total, 'trial')}: {why}")
    if results.damaged:
        yield Note("Damaged files", f"{len(results.damaged)}: {listed(results.damaged, 4)}")
    if results.superseded:
        text = f"{counted(results.superseded, 'older result')} of the same trials left aside"
        yield Note("Superseded", text)


def remarks(results: Results) -> Iterable[Note]:
    """Notes of the trials, such as a missing segmentation task, and why metrics are undefined, each
    with where.
    """
    said: dict[str, set[tuple[str, str]]] = {}
    undefined: dict[str, set[tuple[str, str]]] = {}
    metrics: dict[str, set[str]] = {}
    for system in results.systems:
        for row in results.rows(system):
            place = (row["category"], system.title)
            for text in row["notes"] or ():
                said.setdefault(text, set()).add(place)
            for metric, reason in _pairs(row["undefined"]):
                undefined.setdefault(reason, set()).add(place)
                metrics.setdefault(reason, set()).add(metric)
    for text, places in sorted(said.items()):
        yield Note("Note", f"{text} ({_where(results, places)})")
    for reason, places in sorted(undefined.items()):
        yield Note(
            "Undefined",
            f"{', '.join(sorted(metrics[reason]))}: {reason} ({_where(results, places)})",
        )


def _pairs(column: Any) -> Iterable[tuple[str, str]]:
    """A Parquet map, which polars gives as a dict, before version 2 as a list of {key, value}."""
    if isinstance(column, Mapping):
        return column.items()
    return [(pair["key"], pair["value"]) for pair in column or ()]


def _where(results: Results, places: set[tuple[str, str]]) -> str:
    categories, titles = (
        sorted({category for category, _ in places}),
        sorted({title for _, title in places}),
    )
    everywhere = len(categories) == len(results.categories) and len(categories) > 1
    all_systems = (
        len(titles) == len({system.title for system in results.systems}) and len(titles) > 1
    )
    return (
        f"{'all systems' if all_systems else listed(titles)};"
        f" {'all categories' if everywhere else listed(categories)}"
    )


def computed(results: Results) -> Iterable[Note]:
    rows = [row for system in results.systems for row in results.rows(system)]
    if rows:
        devices = _distinct(rows, "device")
        text = (
            f"{devices}; threads {_distinct(rows, 'threads')}; {_distinct(rows, 'precision')};"
            f" result version {_distinct(rows, 'result_version')}"
        )
        yield Note("Computed on", text + _versions(results.info))


def _versions(info: RunInfo) -> str:
    known = {**info.environment, **info.computing}
    names = ("apc_bench", "python", "torch", "torchvision", "numpy")
    return "".join(f"; {name.replace('_', '-')} {known[name]}" for name in names if name in known)


def _distinct(rows: Iterable[Mapping[str, Any]], name: str) -> str:
    return ", ".join(sorted({str(row[name]) for row in rows}))


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
