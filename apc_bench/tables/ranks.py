"""Three or more systems ranked over categories: the table (the statistics: statistics/ranking.py;
the critical-difference diagram: report/rank_diagram.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apc_bench.metrics.catalogue import AUROCS, CATALOGUE
from apc_bench.results.aggregate import Results, System
from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST, mean
from apc_bench.statistics.ranking import LEVEL, SYSTEMS_FOR_RANKS, AverageRanks, rank
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import SYSTEM_COLUMNS, number_cell, system_cells
from apc_bench.tables.number_format import p_value
from apc_bench.tables.table import Column, Note, Row, Table

NAME = "ranks"


@dataclass(frozen=True, slots=True, eq=False)
class RankedSystems:
    """The systems that have a metric, and their average ranks in the same order."""

    systems: Sequence[System]
    ranking: AverageRanks

    @property
    def by_system(self) -> Mapping[System, float]:
        """Each system's average rank."""
        return dict(zip(self.systems, self.ranking.ranks, strict=True))


def ranked(results: Results, metric: str) -> RankedSystems | None:
    """The systems that have the metric in some category for every seed, and their ranking; None for
    fewer than three, or one category.
    """
    systems = [system for system in results.systems if results.complete(system, metric)]
    if len(systems) < SYSTEMS_FOR_RANKS or len(results.categories) < 2:
        return None
    seeds = sorted(set.intersection(*(set(system.seeds) for system in systems)))
    if not seeds:
        return None
    ranking = rank([_means(results, system, metric, seeds) for system in systems])
    return RankedSystems(systems, ranking) if ranking else None


def _means(
    results: Results, system: System, metric: str, seeds: Sequence[int]
) -> Mapping[str, float]:
    """Category -> mean over the seeds, where the system has all of its own."""
    means = {}
    for category in results.complete(system, metric):
        by_seed = results.by_seed(system, category, metric)
        means[category] = mean([by_seed[seed] for seed in seeds])
    return means


def ranked_by_metric(results: Results) -> dict[str, RankedSystems]:
    """Metric -> ranking, for image and pixel AUROC, where there is one."""
    rankings = {metric: ranked(results, metric) for metric in AUROCS}
    return {metric: ranking for metric, ranking in rankings.items() if ranking}


def ranks(results: Results) -> Table | None:
    """A row a system, its average rank by image and by pixel AUROC; None for fewer than three
    systems or a single category.
    """
    rankings = ranked_by_metric(results)
    if not rankings:
        return None
    rank_columns = [
        Column(f"Average rank, {CATALOGUE[metric].heading}", (f"{metric}_rank",))
        for metric in rankings
    ]
    rows = []
    for system in results.systems:
        cells = [number_cell(one.by_system.get(system), 2) for one in rankings.values()]
        rows.append(Row((*system_cells(system), *cells)))
    topics = (about.data, about.test_set, about.completeness, about.computed)
    return Table(
        NAME,
        "Average ranks over categories",
        (*SYSTEM_COLUMNS, *rank_columns),
        tuple(rows),
        (*_notes(rankings), *about.notes(results, topics)),
    )


def _notes(rankings: Mapping[str, RankedSystems]) -> Iterator[Note]:
    yield Note(
        "Rank",
        "in each category 1 is the best mean over shared seeds, equal ones share a rank; then the"
        " mean over the categories that all have",
    )
    for metric, found in rankings.items():
        count = f"{found.ranking.categories} categories"
        yield Note(CATALOGUE[metric].heading, f"{count}; {_claim(found)}")
    yield Note(
        "Test",
        "Friedman: does any system differ; pairs by Wilcoxon signed-rank with Holm's correction"
        f" over all pairs, from {CATEGORIES_FOR_A_TEST} categories on",
    )


def _claim(found: RankedSystems) -> str:
    systems, ranking = found.systems, found.ranking
    if ranking.groups is None:
        return f"too few for a claim (a test needs {CATEGORIES_FOR_A_TEST})"
    differing = [
        f"{systems[one].label} and {systems[other].label} (p {p_value(p)})"
        for (one, other), p in ranking.pairs.items()
        if p is not None and p < LEVEL
    ]
    pairs = "no two systems can be told apart"
    if differing:
        pairs = f"differ: {', '.join(differing)}"
    return f"{ranking.reason or f'Friedman p {p_value(ranking.friedman)}'}; {pairs}"
