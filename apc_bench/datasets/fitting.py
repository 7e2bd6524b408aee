"""What can be compared with as many defect photos as there are, in options of `sweep`."""

from collections.abc import Sequence

from apc_bench.datasets.samples import Category, Sample
from apc_bench.settings.protocols import FOLDS, RESERVE
from apc_bench.wording import counted

HOLD_OUT_FROM = 2 * RESERVE
"""Defective parts from which on a reserve of the usual size leaves as many to test."""


def pool_of(category: Category) -> list[Sample]:
    """The anomalous images that draws are made from: the dataset's own training ones, or else the
    test set's.
    """
    anomalous = [sample for sample in category.samples if sample.anomalous]
    return [sample for sample in anomalous if sample.training] or anomalous


def has_own_pool(category: Category) -> bool:
    """Whether the dataset brings anomalous training images, so that draws leave its test set
    alone.
    """
    return any(sample.training for sample in pool_of(category))


def parts_in(pool: Sequence[Sample]) -> int:
    """How many groups of images there are: at most one of each is drawn."""
    return len({sample.group for sample in pool})


def in_words(pool: Sequence[Sample]) -> str:
    """`6 defect photos`; `6 defect photos of 3 parts` where groups hold several."""
    parts, photos = parts_in(pool), counted(len(pool), "defect photo")
    return photos if parts == len(pool) else f"{photos} of {counted(parts, 'part')}"


def way_out(parts: int, *, apart: bool) -> str:
    """What to pass where so many parts are too few for the reserve. `apart`: whether other images
    than the pool's are tested.
    """
    if parts < (1 if apart else 2):
        return "photograph more defects"
    reserve = min(RESERVE, parts if apart else parts // 2)
    fewer = f"--reserve {reserve} --shots {_spread(reserve)}"
    if apart:
        return f"pass {fewer}"
    return (
        f"pass --protocol crossfit{_folds(parts)} without --shots and --reserve, which tests each"
        " of them once,"
        f" or {fewer}, which leaves {parts - reserve} of them to test"
    )


def fitting(categories: Sequence[Category]) -> str | None:
    """The options with which a sweep makes the most of the defect photos of these categories: none
    where they suffice for the usual reserve; None where nothing can be compared.
    """
    parts = min(parts_in(pool_of(category)) for category in categories)
    if any(map(has_own_pool, categories)):
        # Only a reserve leaves the dataset's own test set as it is.
        return "" if parts >= RESERVE else f" --reserve {parts} --shots {_spread(parts)}"
    if parts >= HOLD_OUT_FROM:
        return ""
    return f" --protocol crossfit{_folds(parts)}" if parts > 1 else None


def _folds(parts: int) -> str:
    return "" if parts >= FOLDS else f" --folds {parts}"


def _spread(reserve: int) -> str:
    """One shot, as many as are drawn and, of many, five."""
    numbers = {1, reserve} | ({5} if reserve > 5 else set())
    return ",".join(map(str, sorted(numbers)))
