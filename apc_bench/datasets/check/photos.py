"""Findings on photos: unreadable ones, copies and lookalikes, and too few of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from apc_bench.datasets.check.files import CategoryFiles
from apc_bench.datasets.check.findings import ERROR, NOTE, WARNING, Finding, about
from apc_bench.datasets.check.inspect import Inspected, Photo
from apc_bench.datasets.encoding import Encoding
from apc_bench.datasets.groups import GROUPS
from apc_bench.datasets.no_photos import WHY, no_photos
from apc_bench.datasets.samples import GOOD
from apc_bench.wording import counted

RANGE = 64
"""Of 255 values; a category whose photos use fewer is worth a look [ours]."""


LEAST = 2
"""Anomalous images of a category that draws leave its test set: one to learn from, one to test."""


def unreadable(facts: Mapping[str, Inspected]) -> Iterator[Finding]:
    """Images and masks that cannot be read, and why."""
    reasons = {name: reason for name, reason in facts.items() if isinstance(reason, str)}
    text = "cannot be read; a sweep leaves them out with --skip-unreadable"
    yield from about(ERROR, "unreadable", text, reasons)


def drawings(photos: Mapping[str, Photo]) -> Iterator[Finding]:
    """Images that are no photos."""
    few = {name: photo.few_colours for name, photo in photos.items()}
    yield from about(ERROR, "no photo", WHY, dict.fromkeys(no_photos(few), ""))


def copies(files: CategoryFiles, photos: Mapping[str, Photo]) -> Iterator[Finding]:
    """Files of one content: between train and test they are a leak."""
    names_of: dict[str, list[str]] = defaultdict(list)
    for name, photo in photos.items():
        names_of[photo.sha256].append(name)
    leaks: dict[str, str] = {}
    harmless: dict[str, str] = {}
    for first, *others in names_of.values():
        if not others:
            continue
        same = f"same content as {', '.join(others)}"
        if files.on_both_sides([first, *others]) or files.good_and_bad([first, *others]):
            leaks[first] = same
        else:
            harmless[first] = same
    leak = "the same content in train and test, or as good and as anomalous"
    yield from about(ERROR, "leak", leak, leaks)
    copy = (
        "the same content more than once: name the copies as one group in groups.csv, or remove"
        " them"
    )
    yield from about(WARNING, "copies", copy, harmless)


def lookalikes(
    files: CategoryFiles, photos: Mapping[str, Photo], groups: list[list[str]]
) -> Iterator[Finding]:
    """Photos that look alike, a list a group, above all between train and test."""
    alike: dict[str, str] = {}
    across: dict[str, str] = {}
    for group in groups:
        first, *others = group
        alike[first] = f"like {', '.join(others)}"
        contents = {photos[name].sha256 for name in group}
        if len(contents) > 1 and files.on_both_sides(group):
            across[first] = alike[first]
    if not files.plain:
        text = "photos in train and test look alike: do they show one part?"
        yield from about(WARNING, "alike across", text, across)
    if not (files.folder / GROUPS).is_file():
        images = sum(len(group) for group in groups)
        text = (
            f"{images} photos in {counted(len(groups), 'group')} look alike; --groups DIR writes"
            " them as a groups.csv: look it through before use"
        )
        yield from about(WARNING, "alike", text, alike)


def readings(encoding: Encoding) -> Iterator[Finding]:
    """How the files are understood, where that is not plain, and those without a clear meaning."""
    unclear = "files whose meaning cannot be told; a sweep leaves them out with --skip-unreadable"
    yield from about(ERROR, "unclear", unclear, encoding.refused)
    for text in encoding.notes:
        yield Finding(NOTE, "reading", text)


def small_range(photos: Mapping[str, Photo]) -> Iterator[Finding]:
    """Photos that use a small part of the range of values, all together."""
    lowest = min((photo.values[0] for photo in photos.values()), default=0)
    highest = max((photo.values[1] for photo in photos.values()), default=255)
    if highest - lowest < RANGE:
        text = (
            f"all values lie between {lowest} and {highest} of 255: were levels lost in a"
            " conversion, or is the exposure wrong?"
        )
        yield Finding(WARNING, "small range", text)


def oddities(files: CategoryFiles, photos: Mapping[str, Photo]) -> Iterator[Finding]:
    """Links that lead out, and files that are not read."""
    outside = {name: f"-> {photo.outside}" for name, photo in photos.items() if photo.outside}
    yield from about(WARNING, "link", "links that lead out of the category's folder", outside)
    yield from about(NOTE, "passed over", "not read by any sweep", files.passed_over)


def small_pool(files: CategoryFiles, reserve: int) -> Iterator[Finding]:
    """Anomalous images too few for any sweep, for a reserve of this size, or of a type."""
    own_pool = files.counts(training=True)
    del own_pool[GOOD]
    pool = own_pool or files.counts(training=False)
    del pool[GOOD]
    total, needed = pool.total(), reserve
    if not own_pool:
        needed += 1  # draws leave the test set, and one must stay there
    if not own_pool and total < LEAST:
        text = (
            f"{counted(total, 'anomalous image')}; one to learn from and one to test are the least:"
            " photograph more defects"
        )
        yield Finding(ERROR, "few anomalous", text)
        return
    if total < needed:
        text = (
            f"{total} anomalous images are too few for a reserve of {reserve}: lower --reserve, or"
            " use --protocol crossfit"
        )
        yield Finding(WARNING, "few anomalous", text)
        return
    share = reserve // len(pool)
    small = {kind: f"{number} images" for kind, number in sorted(pool.items()) if number < share}
    text = (
        f"defect types with fewer images than their share of the reserve ({share}): the rest is"
        " drawn from others"
    )
    yield from about(NOTE, "small type", text, small)
