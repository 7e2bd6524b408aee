"""Which normal training images are held out of a fine-tuning, to calibrate a threshold with, and
where none can be (docs/method.md section 5).
"""

from collections import defaultdict
from collections.abc import Iterable

from apc_bench.datasets.order import random_order
from apc_bench.datasets.samples import Category, Sample

HELD_OUT_MIN = 20
HELD_OUT_SHARE = 0.1


def hold_out(category: Category, dataset: str, seed: int) -> set[str]:
    """Normal training images that fine-tuned detectors keep for calibration: whole groups,
    `held_out_of` all of them.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for sample in filter(teaches_normality, category.samples):
        groups[sample.group].append(sample.image)
    total = sum(len(images) for images in groups.values())
    wanted = held_out_of(total)
    held: set[str] = set()
    for group in random_order(groups, dataset, category.name, str(seed), "hold-out"):
        if len(held) < wanted and len(held) + len(groups[group]) <= total // 2:
            held.update(groups[group])
    return held


def held_out_of(total: int) -> int:
    """Of so many normal training images, those to hold out where each is a group of its own:
    HELD_OUT_MIN or HELD_OUT_SHARE of them, but at most half.
    """
    return min(max(HELD_OUT_MIN, round(HELD_OUT_SHARE * total)), total // 2)


def teaches_normality(sample: Sample) -> bool:
    """Whether it is a normal training image."""
    return sample.training and not sample.anomalous


def nothing_to_hold_out(samples: Iterable[Sample]) -> str | None:
    """Why no normal training image of a category can be scored as one that took no part, by which a
    threshold is calibrated; None where some can.
    """
    groups = [sample.group for sample in samples if teaches_normality(sample)]
    if len(set(groups)) != 1:
        return None
    if len(groups) == 1:
        return "a single normal training image leaves none to hold out: no threshold is calibrated"
    return (
        f"the {len(groups)} normal training images are all of one group, which leaves none to hold"
        " out: no threshold is calibrated"
    )
