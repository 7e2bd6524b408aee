"""What a real download must hold (docs/method.md section 7). Counts that no source states are not
in counts.yaml, and so not checked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import yaml

from apc_bench.datasets.samples import GOOD, Category, Dataset
from apc_bench.errors import DataError, listed

Counts = tuple[int, int, dict[str, int]]
"""Normal training images, normal test images, defective test images by type."""


def _published() -> dict[str, dict[str, Counts]]:
    text = files("apc_bench.datasets").joinpath("counts.yaml").read_text("utf-8")
    return {
        dataset: {category: tuple(counts) for category, counts in categories.items()}
        for dataset, categories in yaml.safe_load(text).items()
    }


PUBLISHED: Mapping[str, dict[str, Counts]] = _published()
"""Dataset -> category -> counts, where they are known."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there, as far as it is known: each category's counts, or how many `categories`,
    `normal training`, `normal test`, `normal` and `anomalous` images the whole has.
    """

    by_category: Mapping[str, Counts] | None = None
    sums: Mapping[str, int] = field(default_factory=dict)

    def check(self, dataset: Dataset) -> None:
        """Raises DataError that names each category, or sum, with other counts than expected."""
        faults = [*self._wrong_categories(dataset), *self._wrong_sums(dataset)]
        if faults:
            raise DataError(f"{dataset.name}: not as published: {listed(faults, 6)}")

    def _wrong_categories(self, dataset: Dataset) -> Iterator[str]:
        if self.by_category is None:
            return
        held = {category.name: counts_of(category) for category in dataset.categories}
        for name, wanted in self.by_category.items():
            if held.get(name) != wanted:
                yield f"{name}: {held.get(name, 'missing')}, expected {wanted}"
        for name in held:
            if name not in self.by_category:
                yield f"unknown category {name}"

    def _wrong_sums(self, dataset: Dataset) -> Iterator[str]:
        held = Counter(categories=len(dataset.categories))
        for category in dataset.categories:
            for sample in category.samples:
                held["anomalous" if sample.anomalous else "normal"] += 1
                if not sample.anomalous:
                    held["normal training" if sample.training else "normal test"] += 1
        for what, wanted in self.sums.items():
            if held[what] != wanted:
                images = "" if what == "categories" else " images"
                yield f"{held[what]} {what}{images}, expected {wanted}"

    def known(self) -> str:
        """What of the counts is checked, in words."""
        if self.by_category is not None:
            return "per category and defect type"
        if not self.sums:
            return "not known, so not checked"
        return f"in sum ({', '.join(self.sums)}), for counts by category are not known here"


def counts_of(category: Category) -> Counts:
    """What the category holds."""
    counts = Counter((sample.training, sample.defect_type) for sample in category.samples)
    defects = {kind: number for (_, kind), number in sorted(counts.items()) if kind != GOOD}
    return counts[True, GOOD], counts[False, GOOD], defects
