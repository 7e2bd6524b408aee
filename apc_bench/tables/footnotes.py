"""What stands under a table: how its figures were made, what is missing, and what a reader must
know (docs/method.md sections 2 and 5).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from apc_bench.errors import listed
from apc_bench.metrics.catalogue import CATALOGUE, METRICS, PIXEL, POSTER
from apc_bench.metrics.search_recall import SearchRecall
from apc_bench.results.aggregate import FULL, Results
from apc_bench.store.info import RunInfo
from apc_bench.tables.table import Note
from apc_bench.tables.trial_notes import remarks, remarks_at_the_threshold
from apc_bench.wording import counted

Topic = Callable[[Results], Iterable[Note]]
"""What is said of one thing, in no note, one or several."""

_PIXELS = tuple(metric for metric in METRICS if CATALOGUE[metric].level == PIXEL)

RESIZES = {
    "square": "both sides resized to the input size",
    "letterbox": "the longer side resized to the input size, black borders",
    "crop": "the shorter side resized to 256/224 of the input size, then the centre cropped",
}


def notes(results: Results, topics: Sequence[Topic]) -> tuple[Note, ...]:
    """The notes of the topics, in their order."""
    return tuple(note for topic in topics for note in topic(results))


def values(results: Results) -> Iterator[Note]:
    """How means and spreads were made."""
    one, many = results.seed_words
    several = len(results.categories) > 1
    mean = f"mean over categories of the mean over {many}" if several else f"mean over {many}"
    if len(results.seeds) == 1:
        spread = f"one {one} ({results.seeds[0]}), so no spread"
    else:
        spread = f"± standard deviation (ddof 1) over the {many} {_numbers(results.seeds)}"
        if several:
            spread += " of the mean over categories"
    yield Note("Values", f"percent; {mean}; {spread}")
    if several:
        rule = (
            "over these categories only, those where it is defined and complete for every system"
            " that has any"
        )
        yield Note("(2/3)", f"2 of 3: {rule}")
    if any(len(system.seeds) < len(results.seeds) for system in results.systems):
        seeds = [f"{system.label}: {_numbers(system.seeds)}" for system in results.systems]
        yield Note(many.capitalize(), "; ".join(seeds))


def folds(results: Results) -> Iterator[Note]:
    """Why a mean over folds is another number than the answer's, where there are folds."""
    if results.folded:
        yield Note(
            "Folds",
            "each counts alike here, however few photos it has; the answer pools all photos and"
            " counts each alike, so its figures and differences are others",
        )


def values_of_a_category(results: Results) -> Iterator[Note]:
    """The same of a table by category."""
    _, many = results.seed_words
    spread = f"mean ± standard deviation (ddof 1) over the {many} {_numbers(results.seeds)}"
    yield Note("Values", f"percent; {spread}; (2/3): two of three {many}")


def bold(results: Results) -> Iterator[Note]:
    """What bold type says, and what not."""
    yield Note(
        "Bold",
        "best of the systems that rest on the same test set, categories and"
        f" {results.seed_words[1]}; no statement about significance",
    )


def data(results: Results) -> Iterator[Note]:
    """The dataset and its categories, and the files that were left out."""
    count = counted(len(results.categories), "category", "categories")
    yield Note("Data", f"{results.dataset}, {count}: {listed(results.categories, 20)}")
    if left_out := _counts(results.info.left_out):
        yield Note("Left out", f"images that could not be used (--skip-unreadable): {left_out}")
    for category, encoding in sorted(results.info.encodings.items()):
        if notes := encoding.get("notes"):
            yield Note(f"Files of {category}", "; ".join(notes))


def _counts(by_category: Mapping[str, Collection[str]]) -> str:
    """`bottle 2, cable 1`: how many there are, of the categories that have any."""
    return ", ".join(f"{name} {len(files)}" for name, files in sorted(by_category.items()) if files)


def test_set(results: Results) -> Iterator[Note]:
    """Which images are tested, as the protocol says it."""
    if part := results.settings.get("part"):
        text = f"only test images that groups.csv puts in part '{part}'; draws come from it too"
        yield Note("Part", text)
    full = any(results.rows(system, FULL) for system in results.systems)
    for heading, text in results.protocol.footnotes(len(results.seeds), full=full):
        yield Note(heading, text)


def shots(results: Results) -> Iterator[Note]:
    """What a number of shots counts."""
    drawn = "of the other folds" if results.folded else "a prefix of the reserve"
    yield Note(
        "Shots",
        f"anomalous training images per category, {drawn}; –: a frozen extractor, which sees none",
    )


def image_input(results: Results) -> Iterator[Note]:
    """What a network is given of an image."""
    size, resize = results.settings["image_size"], results.settings["resize"]
    how = results.settings.get("interpolation", "bicubic")
    filtered = "" if how == "bicubic" else f", {how} filter"
    yield Note("Input", f"{size} × {size} px, resize {resize}: {RESIZES[resize]}{filtered}")


def masks(results: Results) -> Iterator[Note]:
    """How masks were read, and those that the resize emptied; nothing where there are none."""
    if not results.shown(_PIXELS):
        return
    yield Note(
        "Masks",
        "binary first (128 or more of 255; in masks of label ids any id above 0), then resized with"
        " nearest neighbour",
    )
    if emptied := _counts(results.info.emptied):
        yield Note(
            "Emptied masks",
            f"the resize left no anomalous pixel in: {emptied}; these images count at image level"
            " only",
        )


def definitions(metrics: Sequence[str]) -> Topic:
    """The definitions of those metrics that need one under a table (metrics/catalogue.py)."""

    def topic(results: Results) -> Iterator[Note]:
        described = [CATALOGUE[metric] for metric in results.shown(metrics)]
        by_label = {metric.footnote: metric.definition for metric in described if metric.footnote}
        for label, definition in by_label.items():
            yield Note(label, definition)

    return topic


def pixel_level(results: Results) -> Iterator[Note]:
    """What a pixel-level metric is over, where there is one."""
    if results.shown(_PIXELS):
        yield Note("Pixel level", "over all pixels of all test images of a category together")


def completeness(results: Results) -> Iterator[Note]:
    """Missing trials and damaged files, with reasons."""
    places: dict[str, list[str]] = defaultdict(list)
    for system in results.systems:
        for category, seed, reason in results.missing(system):
            places[reason].append(f"{system.label} on {category}, {results.seed_words[0]} {seed}")
    if places:
        missing = sum(len(trials) for trials in places.values())
        why = "; ".join(
            f"{reason} ({listed(trials, 4)})" for reason, trials in sorted(places.items())
        )
        yield Note("Missing", f"{missing} of {counted(results.planned, 'trial')}: {why}")
    if results.damaged:
        yield Note("Damaged files", f"{len(results.damaged)}: {listed(results.damaged, 4)}")
    if results.superseded:
        older = counted(results.superseded, "older result")
        yield Note("Superseded", f"{older} of the same trials left aside")


def like_normal(results: Results) -> Iterator[Note]:
    """Defect types that may be normal photos."""
    for one in results.like_normal:
        yield Note(
            "Like normal",
            f"{one.category}: the {one.images} images of '{one.defect_type}' score like normal ones"
            f" (AUROC {100 * one.auroc:.0f}; '{one.other}' has {100 * one.other_auroc:.0f}): are"
            " they photos of defects?",
        )


def approximate_search(results: Results) -> Iterator[Note]:
    """Of systems that did not search exactly: how often they found the nearest vector."""
    for system in results.systems:
        found = [
            (recall, row)
            for row in results.rows(system)
            for recall in map(SearchRecall.of_note, row["notes"] or ())
            if recall is not None
        ]
        if found:
            counts = [(one.found, one.sampled) for one, _ in found]
            whole = SearchRecall(found[0][0].search, *map(sum, zip(*counts, strict=True)))
            least, row = min(found, key=lambda pair: pair[0].found / pair[0].sampled)
            where = f"{row['category']}, {results.seed_words[0]} {row['seed']}"
            yield Note(
                "Approximate search",
                f"{system.label}: {whole.search}; it found the nearest bank vector of"
                f" {whole.percent} of {whole.sampled:,} patches drawn at random (least:"
                f" {least.percent}, {where}); distances to what it found are exact",
            )


def computed(results: Results) -> Iterator[Note]:
    """What computed the figures: device, threads, precision and versions."""
    rows = [row for system in results.systems for row in results.rows(system)]
    if rows:
        text = (
            f"{_distinct(rows, 'device')}; threads {_distinct(rows, 'threads')};"
            f" {_distinct(rows, 'precision')}; result version {_distinct(rows, 'result_version')}"
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


_MADE = (
    data,
    test_set,
    shots,
    image_input,
    masks,
    definitions(POSTER),
    pixel_level,
    approximate_search,
)

OF_SYSTEMS: Sequence[Topic] = (values, folds, bold, *_MADE)
"""What stands first under a table that ranks systems."""

STATE: Sequence[Topic] = (completeness, like_normal, remarks, computed)
"""What stands last under it: what is missing, and what computed the rest."""

STATE_AT_THRESHOLD: Sequence[Topic] = (
    completeness,
    like_normal,
    remarks_at_the_threshold,
    computed,
)
"""The same under the table of figures at the threshold."""

OF_VARIANTS: Sequence[Topic] = (values, *_MADE, completeness, computed)
"""What stands under a table of one method's variants, in which nothing is bold."""
