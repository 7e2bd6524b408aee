"""Why a system finds less or more than the baseline: what its scores tell, measured, and the limits
by which a figure counts as a cause [ours]. Nothing of it sets a threshold or chooses a method.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.results.changes import Change
from apc_bench.results.detections import Detections, ranks_among
from apc_bench.results.memorisation import DRAWN, GROUPS, NORMAL, UNSEEN
from apc_bench.statistics.differences import mean
from apc_bench.statistics.proportions import wilson

HALF = 0.5
"""Of a change at least, which equal false alarms take away where it comes from the thresholds."""

MEMORISED, ABOVE_CONTROL = 0.75, 0.15
"""AUROC of drawn against unseen defects from which a system knows its few photos, and how far it is
then above the frozen baseline's on the same photos, which learned from neither: chance may have
drawn photos that are easy for both.
"""

TYPES, OF_LOSS, OF_DEFECTS = 2, 0.6, 0.5
"""Defect types at most that hold so much of the loss, with so few of the defects."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of a system beside the baseline. `equal`: the change where either threshold lets the allowed
    share of normal test images through (an oracle; None where they are too few, or there is no
    threshold); `drawn`, `control`: AUROC of its drawn defects against those it never saw, by
    itself and by the baseline (None where none was drawn or scored).
    """

    equal: Change | None
    drawn: float | None
    control: float | None

    def by_threshold(self, change: Change) -> bool:
        """Whether a change, a loss or a gain, comes from the thresholds."""
        if self.equal is None:
            return False
        return math.copysign(1, change.mean) * self.equal.mean <= HALF * abs(change.mean)

    @property
    def memorised(self) -> bool:
        """Whether it knows its drawn photos rather than defects."""
        if self.drawn is None or self.control is None:
            return False
        return self.drawn >= MEMORISED and self.drawn - self.control >= ABOVE_CONTROL


Tables = Sequence[pl.DataFrame]
"""A system's scored images, a table a trial, in the order of seeds (detections.COLUMNS)."""


def evidence(ours: Tables, theirs: Tables, allowed: float, *, threshold: bool) -> Evidence:
    """Of two systems on the same seeds. `threshold`: whether both have one."""
    pairs = list(zip(ours, theirs, strict=True))
    known = [(_drawn(own), own, other) for own, other in pairs]
    aurocs = [_above_unseen(own, names, own) for names, own, _ in known]
    controls = [_above_unseen(other, names, own) for names, own, other in known]
    equal = None
    if threshold and all(_let_through(table, allowed) for table in (*ours, *theirs)):
        equal = Change.between(_found_at_equal(ours, allowed), _found_at_equal(theirs, allowed))
    return Evidence(equal, _mean(aurocs), _mean(controls))


def lossy_types(by_type: Mapping[str, Change]) -> Mapping[str, Change]:
    """The few defect types that hold most of what is lost, with the share of defects that they
    are; none where the loss is spread over all.
    """
    lost = {kind: -sum(change.gains) for kind, change in by_type.items()}
    losses = sorted((kind for kind in lost if lost[kind] > 0), key=lambda kind: -lost[kind])
    whole = sum(lost[kind] for kind in losses)
    defects = sum(len(change.gains) for change in by_type.values())
    for number in range(1, min(TYPES, len(by_type) - 1) + 1):
        first = losses[:number]
        held = sum(lost[kind] for kind in first)
        size = sum(len(by_type[kind].gains) for kind in first)
        if first and held >= OF_LOSS * whole and size <= OF_DEFECTS * defects:
            return {kind: by_type[kind] for kind in first}
    return {}


def beyond_allowed(found: Detections, allowed: float) -> tuple[float, float] | None:
    """The 95 % interval of the false alarms, where it lies above what was allowed: good test photos
    score higher than those that the threshold was set on.
    """
    if found.false_alarms is None or not found.normal:
        return None
    low, high = wilson(found.false_alarms, found.normal)
    return (low, high) if low > allowed else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _drawn(table: pl.DataFrame) -> list[str]:
    return table.filter(GROUPS[DRAWN])["image"].to_list()


def _normal(table: pl.DataFrame) -> NDArray[np.float64]:
    return np.sort(table.filter(GROUPS[NORMAL])["score"].to_numpy().astype(np.float64))


def _above_unseen(scored: pl.DataFrame, drawn: Sequence[str], of: pl.DataFrame) -> float | None:
    """AUROC by one system's scores of the images that `of` drew against those it is tested on; None
    where it drew none.
    """
    images = pl.col("image")
    high = scored.filter(images.is_in(drawn))["score"].to_numpy()
    low = scored.filter(images.is_in(of.filter(GROUPS[UNSEEN])["image"].to_list()))["score"]
    return float(ranks_among(high, low.to_numpy()).mean()) if len(high) else None


def _let_through(table: pl.DataFrame, allowed: float) -> int:
    """How many normal test images the allowed share are, rounded down."""
    return int(allowed * len(_normal(table)) + 1e-9)


def _found_at_equal(tables: Tables, allowed: float) -> dict[str, float]:
    """Defect -> the share of tries in which it scores above all normal test images but the allowed
    share.
    """
    found = []
    for table in tables:
        normal = _normal(table)
        limit = normal[len(normal) - 1 - _let_through(table, allowed)]
        found.append(
            table.filter(GROUPS[UNSEEN]).select("image", "group", above=pl.col("score") > limit)
        )
    by_image = pl.concat(found).group_by("image", "group").agg(pl.mean("above"))
    by_group = by_image.group_by("group").agg(pl.mean("above")).sort("group")
    return dict(by_group.iter_rows())
