"""What a dataset is to everything else: categories of samples, by name; no pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from apc_bench.datasets.encoding import PLAIN, Encoding
from apc_bench.errors import DataError

GOOD, BAD = "good", "bad"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a category. Paths are relative to the category's folder, with forward slashes.

    `training`: a normal image to learn from, or an anomalous one of the pool that a dataset gives
    draws of its own. `group`: images of one group (of one part, say) never stand on both sides of a
    split. `part`: of the test set, dev or final say. `more_masks`: where a dataset keeps several
    masks an image, those besides `mask`; a pixel is anomalous where any of them says so.
    """

    image: str
    mask: str | None
    defect_type: str
    training: bool
    group: str
    part: str | None = None
    more_masks: tuple[str, ...] = ()

    @property
    def masks(self) -> tuple[str, ...]:
        """All its masks: none, one or several."""
        return (self.mask, *self.more_masks) if self.mask else ()

    @property
    def anomalous(self) -> bool:
        """Whether it shows a defect."""
        return self.defect_type != GOOD


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of part: its folder, its samples, sorted by path, and how its files are to be
    understood, once that was looked at (recognise.py). `unused`: file of the folder -> why no trial
    uses it; `remarks`: what was read otherwise than its name says.
    """

    name: str
    folder: Path
    samples: tuple[Sample, ...]
    encoding: Encoding = PLAIN
    unused: Mapping[str, str] = field(default_factory=dict, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def masked(self) -> bool:
        """Whether the category has masks at all; without any, only image-level metrics exist."""
        return any(sample.mask for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of categories. `unused`: what lies beside them -> why no trial uses it."""

    name: str
    root: Path
    categories: tuple[Category, ...]
    unused: Mapping[str, str] = field(default_factory=dict, compare=False)


def of_part(dataset: Dataset, part: str) -> Dataset:
    """The dataset with all its training images, but of the test images only those that groups.csv
    puts in `part`.

    Raises DataError where a category has no test image there.
    """
    return replace(
        dataset, categories=tuple(_of_part(category, part) for category in dataset.categories)
    )


def _of_part(category: Category, part: str) -> Category:
    kept = tuple(sample for sample in category.samples if sample.training or sample.part == part)
    if not all(sample.training for sample in kept):
        others = {*category.samples} - {*kept}
        unused = {sample.image: "of another part of the test set" for sample in others}
        return replace(category, samples=kept, unused={**category.unused, **unused})
    tested = (sample for sample in category.samples if not sample.training)
    known = sorted({sample.part for sample in tested if sample.part})
    there = "it has no groups.csv with a column part"
    if known:
        there = f"its groups.csv has {', '.join(known)}"
    raise DataError(f"category '{category.name}': no test image is in part '{part}'; {there}")
