"""Ranks of three or more systems over categories, and which of them can be told apart
(docs/method.md section 5, "Statistics"). Pure functions of numbers.

Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006: average ranks
and Friedman's test. For the pairs, Wilcoxon signed-rank with Holm's correction instead of Nemenyi's
test, as Benavoli, Corani and Mangili, "Should we really use post-hoc tests based on mean-ranks?",
JMLR 2016, advise: whether two systems differ must not depend on which others are in the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray

from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    TIE_DECIMALS,
    holm,
    paired_difference,
)

LEVEL = 0.05
"""A p value below it tells two systems apart."""

SYSTEMS_FOR_RANKS = 3
"""Fewer are a comparison and no ranking."""


@dataclass(frozen=True, slots=True)
class AverageRanks:
    """`ranks`: of each system, the mean over categories; 1 is best, equal figures share.
    `friedman`: its p, None with the `reason`.

    `pairs`: (i, j) -> Holm's p of systems i < j, None where no test could be made; `groups`: the
    largest sets of systems, best first, of which no two differ at 5 %; None below
    CATEGORIES_FOR_A_TEST categories, where nothing can be claimed.
    """

    ranks: tuple[float, ...]
    categories: int
    friedman: float | None
    reason: str | None
    pairs: Mapping[tuple[int, int], float | None]
    groups: tuple[tuple[int, ...], ...] | None


def rank(systems: Sequence[Mapping[str, float]]) -> AverageRanks | None:
    """Ranks at least three systems, each category -> figure, larger is better, over the categories
    that all have; None where there is none.
    """
    shared = sorted(set.intersection(*(set(figures) for figures in systems)))
    if len(systems) < SYSTEMS_FOR_RANKS or not shared:
        return None
    table = np.round(
        [[figures[category] for figures in systems] for category in shared], TIE_DECIMALS
    )
    ranks = tuple(float(value) for value in scipy.stats.rankdata(-table, axis=1).mean(axis=0))
    friedman, reason = _friedman(table)
    if len(shared) < CATEGORIES_FOR_A_TEST:
        return AverageRanks(ranks, len(shared), friedman, reason, {}, None)
    pairs = _pairs([{category: figures[category] for category in shared} for figures in systems])
    return AverageRanks(ranks, len(shared), friedman, reason, pairs, _groups(ranks, pairs))


def _pairs(systems: Sequence[Mapping[str, float]]) -> dict[tuple[int, int], float | None]:
    """Every two systems of the same categories, and Holm's p over all pairs."""
    places = list(combinations(range(len(systems)), 2))
    found = [paired_difference(systems[one], systems[other]) for one, other in places]
    corrected = holm([difference.p if difference else None for difference in found])
    return dict(zip(places, corrected, strict=True))


def _friedman(table: NDArray[np.float64]) -> tuple[float | None, str | None]:
    """Whether any system differs from any other: table (categories, systems)."""
    if len(table) < CATEGORIES_FOR_A_TEST:
        return None, f"fewer than {CATEGORIES_FOR_A_TEST} categories: no test"
    if (table == table[:, :1]).all():
        return None, "no system differs in any category"
    return float(scipy.stats.friedmanchisquare(*table.T).pvalue), None


def _groups(
    ranks: Sequence[float], pairs: Mapping[tuple[int, int], float | None]
) -> tuple[tuple[int, ...], ...]:
    """Runs of neighbours by rank without a significant pair, those that no other run contains. A
    pair without a test cannot be told apart.
    """
    order = sorted(range(len(ranks)), key=lambda index: (ranks[index], index))

    def alike(one: int, other: int) -> bool:
        p = pairs[min(one, other), max(one, other)]
        return p is None or p >= LEVEL

    runs: list[tuple[int, ...]] = []
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and all(alike(order[end], other) for other in order[start:end]):
            end += 1
        run = tuple(order[start:end])
        if len(run) > 1 and not any(set(run) <= set(other) for other in runs):
            runs.append(run)
    return tuple(runs)
