"""Defect types whose images score like normal ones, while other types of their category do not: a
folder of normal photos that was taken for one of defects, as a rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from apc_bench.errors import ApcError
from apc_bench.metrics.exact import Ranking
from apc_bench.results.aggregate import Results, TypeLikeNormal
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.auroc_interval import auroc_limits

IMAGES = 5
"""Of a type at least; fewer say nothing [ours]."""

APART, CHANCE = 0.75, 0.5
"""AUROC that another type of the category exceeds, which shows that the detector works there, and
that a type like normal images stays under, each with 90 % confidence; and what it does not exceed
with as much [ours: of 25 types of MVTec AD's pill and screw and of the synthetic dataset none is
called so, the hardest having 66].
"""


@dataclass(frozen=True, slots=True)
class _OfType:
    """A type's images against the normal ones of the test set."""

    kind: str
    images: int
    auroc: float
    low: float
    high: float


def with_types_like_normal(results: Results, run: RunReader) -> Results:
    """The results with the types that the frozen baseline cannot tell from normal images, in the
    first trial of each category that can be read.
    """
    return replace(results, like_normal=tuple(_found(results, run)))


def _found(results: Results, run: RunReader) -> Iterator[TypeLikeNormal]:
    for category in results.categories:
        types = _types(results, run, category)
        known = [one for one in types if one.low > APART]
        for one in types:
            if known and one.low <= CHANCE and one.high < APART:
                best = max(known, key=lambda other: other.auroc)
                yield TypeLikeNormal(
                    category, one.kind, one.images, one.auroc, best.kind, best.auroc
                )


def _types(results: Results, run: RunReader, category: str) -> list[_OfType]:
    baseline = results.baseline
    if baseline is None:
        return []
    for seed in baseline.seeds:
        key = results.trials[baseline, category, seed].result_key
        try:
            return list(_compared(run.scores(key))) if key else []
        except ApcError:  # damaged; the page names it
            continue
    return []


def _compared(scores: pl.DataFrame) -> Iterator[_OfType]:
    """Each type of a trial's scored images, with those that were set apart: a frozen system scores
    them too.
    """
    normal = scores.filter(~pl.col("label") & (pl.col("split") == "test"))["score"].to_numpy()
    for kind, rows in sorted(scores.filter("label").group_by("defect_type")):
        anomalous = rows["score"].to_numpy()
        auroc = Ranking(np.sort(anomalous), np.sort(normal)).auroc().value
        if auroc is not None and len(anomalous) >= IMAGES:
            limits = auroc_limits(auroc, len(anomalous), len(normal))
            yield _OfType(str(kind[0]), len(anomalous), auroc, *limits)
