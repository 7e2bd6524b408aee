"""What of a dataset no trial uses: counted by reason, in words and for run.json."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from apc_bench.datasets.samples import Dataset
from apc_bench.errors import listed
from apc_bench.wording import counted, enumerated

ROOT = "."
"""Stands for a category's name where files lie beside the categories."""

SHOWN = 3
"""Files of a reason that a line names."""

Unused = dict[str, dict[str, list[str]]]
"""Category or ROOT -> reason -> files, relative to it."""


def unused_files(dataset: Dataset) -> Unused:
    """The files that no trial uses, of the places that have any."""
    places = {ROOT: dataset.unused, **{one.name: one.unused for one in dataset.categories}}
    return {place: _by_reason(unused) for place, unused in places.items() if unused}


def reading_lines(dataset: Dataset) -> Iterator[str]:
    """What is read otherwise than its name says, and what no trial uses: a line for each category,
    or for several of which the same is to say.
    """
    for category in dataset.categories:
        for remark in category.remarks:
            yield f"category '{category.name}': {remark}"
    places: dict[str, list[str]] = defaultdict(list)
    for place, reasons in unused_files(dataset).items():
        places[_in_words(reasons)].append(place)
    for words, names in places.items():
        if names == [ROOT]:
            yield f"beside the categories, {words}"
        else:
            word = "category" if len(names) == 1 else "each of the categories"
            quoted = [f"'{name}'" for name in names if name != ROOT]
            yield f"{word} {enumerated(quoted)}: {words}"


def _by_reason(unused: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for path, reason in sorted(unused.items()):
        reasons[reason].append(path)
    return dict(reasons)


def _in_words(reasons: Mapping[str, list[str]]) -> str:
    number = sum(len(paths) for paths in reasons.values())
    each = (f"{reason} ({len(paths)}: {listed(paths, SHOWN)})" for reason, paths in reasons.items())
    return f"no trial uses {counted(number, 'file')}: {'; '.join(each)}"
