"""What a real download must hold (docs/method.md section 7). Counts that no source states are not
here, and so not checked.
"""

from collections import Counter
from dataclasses import dataclass

from apc_bench.datasets.samples import GOOD, Category, Dataset
from apc_bench.errors import DataError, listed

Counts = tuple[int, int, dict[str, int]]
"""Normal training images, normal test images, defective test images by type."""

MVTEC_AD_COUNTS: dict[str, Counts] = {
    "bottle": (209, 20, {"broken_large": 20, "broken_small": 22, "contamination": 21}),
    "cable": (
        224,
        58,
        {
            "bent_wire": 13,
            "cable_swap": 12,
            "combined": 11,
            "cut_inner_insulation": 14,
            "cut_outer_insulation": 10,
            "missing_cable": 12,
            "missing_wire": 10,
            "poke_insulation": 10,
        },
    ),
    "capsule": (
        219,
        23,
        {"crack": 23, "faulty_imprint": 22, "poke": 21, "scratch": 23, "squeeze": 20},
    ),
    "carpet": (
        280,
        28,
        {"color": 19, "cut": 17, "hole": 17, "metal_contamination": 17, "thread": 19},
    ),
    "grid": (
        264,
        21,
        {"bent": 12, "broken": 12, "glue": 11, "metal_contamination": 11, "thread": 11},
    ),
    "hazelnut": (391, 40, {"crack": 18, "cut": 17, "hole": 18, "print": 17}),
    "leather": (245, 32, {"color": 19, "cut": 19, "fold": 17, "glue": 19, "poke": 18}),
    "metal_nut": (220, 22, {"bent": 25, "color": 22, "flip": 23, "scratch": 23}),
    "pill": (
        267,
        26,
        {
            "color": 25,
            "combined": 17,
            "contamination": 21,
            "crack": 26,
            "faulty_imprint": 19,
            "pill_type": 9,
            "scratch": 24,
        },
    ),
    "screw": (
        320,
        41,
        {
            "manipulated_front": 24,
            "scratch_head": 24,
            "scratch_neck": 25,
            "thread_side": 23,
            "thread_top": 23,
        },
    ),
    "tile": (230, 33, {"crack": 17, "glue_strip": 18, "gray_stroke": 16, "oil": 18, "rough": 15}),
    "toothbrush": (60, 12, {"defective": 30}),
    "transistor": (213, 60, {"bent_lead": 10, "cut_lead": 10, "damaged_case": 10, "misplaced": 10}),
    "wood": (247, 19, {"color": 8, "combined": 11, "hole": 10, "liquid": 10, "scratch": 21}),
    "zipper": (
        240,
        32,
        {
            "broken_teeth": 19,
            "combined": 16,
            "fabric_border": 17,
            "fabric_interior": 16,
            "rough": 17,
            "split_teeth": 18,
            "squeezed_teeth": 16,
        },
    ),
}

BTAD_COUNTS: dict[str, Counts] = {
    "01": (400, 21, {"ko": 49}),
    "02": (399, 30, {"ko": 200}),
    "03": (1000, 400, {"ko": 41}),
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there: each category's counts, or of the whole as many categories, normal and
    anomalous images as are known (None: not).
    """

    by_category: dict[str, Counts] | None = None
    categories: int | None = None
    normal_training: int | None = None
    normal_test: int | None = None
    normal: int | None = None
    anomalous: int | None = None

    def check(self, dataset: Dataset) -> None:
        """Raises DataError that names each category, or sum, with other counts than expected."""
        found = {category.name: counts_of(category) for category in dataset.categories}
        faults = [
            f"{name}: {found.get(name, 'missing')}, expected {wanted}"
            for name, wanted in (self.by_category or {}).items()
            if found.get(name) != wanted
        ]
        faults += [
            f"unknown category {name}"
            for name in found
            if self.by_category is not None and name not in self.by_category
        ]
        samples = [sample for category in dataset.categories for sample in category.samples]
        normal = [sample for sample in samples if not sample.anomalous]
        sums = {
            "categories": (len(found), self.categories),
            "normal training images": (
                sum(sample.training for sample in normal),
                self.normal_training,
            ),
            "normal test images": (sum(not sample.training for sample in normal), self.normal_test),
            "normal images": (len(normal), self.normal),
            "anomalous images": (len(samples) - len(normal), self.anomalous),
        }
        faults += [
            f"{number} {what}, expected {wanted}"
            for what, (number, wanted) in sums.items()
            if wanted not in (None, number)
        ]
        if faults:
            raise DataError(f"{dataset.name}: not as published: {listed(faults, 6)}")

    def known(self) -> str:
        """What of the counts is checked, in words."""
        if self.by_category is not None:
            return "per category and defect type"
        given = [
            name.replace("_", " ")
            for name in ("categories", "normal_training", "normal_test", "normal", "anomalous")
            if getattr(self, name)
        ]
        return (
            f"in sum ({', '.join(given)}), for counts by category are not known here"
            if given
            else "not known, so not checked"
        )


def counts_of(category: Category) -> Counts:
    """What the category holds."""
    counts = Counter((sample.training, sample.defect_type) for sample in category.samples)
    defects = {kind: number for (_, kind), number in sorted(counts.items()) if kind != GOOD}
    return counts[True, GOOD], counts[False, GOOD], defects
