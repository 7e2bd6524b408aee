"""The report's statistics by simulation: how often its 95 % intervals hold the truth, and how often
its test claims a difference where there is none.

The functions under test are the report's own (apc_bench/report: stats, resampling). From the folder
`tests`: `python -m bench statistics` prints the goals, and writes the whole table to
reports/statistics/simulation.md.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.figure import Figure
from numpy.typing import NDArray

from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    holm,
    paired_difference,
    t_interval,
)
from apc_bench.statistics.resampling import resampled_interval, resampled_means

REPORTS = 4_000
OTHERS = 3
"""Systems that are compared with the baseline at once, for the family of tests."""

TABLE = Path(__file__).resolve().parents[2] / "reports" / "statistics" / "simulation.md"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Differences to a baseline around a true mean of 0: `category_sd` between categories,
    `seed_sd` between seeds. `tails`: Student's t with 4 degrees.
    """

    categories: int = 15
    seeds: int = 3
    category_sd: float = 1.0
    seed_sd: float = 0.3
    tails: bool = False

    def draw(self, generator: np.random.Generator, reports: int) -> Array:
        """(reports, categories, seeds)."""
        shape = (reports, self.categories, 1)
        between = (
            generator.standard_t(4, shape) / np.sqrt(2)
            if self.tails
            else generator.standard_normal(shape)
        )
        within = generator.standard_normal((reports, self.categories, self.seeds))
        return self.category_sd * between + self.seed_sd * within


@dataclass(frozen=True)
class Found:
    """Shares of reports, 0 to 1; None where the report prints no such figure. `percentile` and
    `pairs` are what it does not print, and why.
    """

    t: float
    resampled: float | None
    percentile: float
    pairs: float | None
    false_positives: float | None
    family: float | None


def simulate(world: World, reports: int = REPORTS) -> Found:
    """Draws that many reports and asks each for its intervals and its test."""
    generator = np.random.default_rng(
        [
            world.categories,
            world.seeds,
            int(10 * world.category_sd),
            int(10 * world.seed_sd),
            world.tails,
        ]
    )
    drawn = world.draw(generator, reports)
    tested = world.categories >= CATEGORIES_FOR_A_TEST
    t = [_holds(t_interval(list(one.mean(1)))) for one in drawn]
    resampled = [_holds(resampled_interval(one)) for one in drawn] if tested else None
    percentile = [
        _holds(tuple(np.quantile(resampled_means(one, generator), (0.025, 0.975))))
        for one in drawn[: reports // 4]
    ]
    pairs = [_holds(t_interval(list(one.ravel()))) for one in drawn] if world.seeds > 1 else None
    p = np.array([_p(one) for one in drawn]) if tested else None
    family = None
    if tested:
        others = np.stack(
            [[_p(one) for one in world.draw(generator, reports)] for _ in range(OTHERS - 1)] + [p],
            axis=1,
        )
        family = float(np.mean([min(holm(list(row))) < 0.05 for row in others]))
    return Found(
        float(np.mean(t)),
        None if resampled is None else float(np.mean(resampled)),
        float(np.mean(percentile)),
        None if pairs is None else float(np.mean(pairs)),
        None if p is None else float((p < 0.05).mean()),
        family,
    )


def _holds(interval: tuple[float, float] | None) -> bool:
    assert interval is not None
    return interval[0] <= 0 <= interval[1]


def _p(differences: Array) -> float:
    means = {f"{index:02d}": value for index, value in enumerate(differences.mean(1))}
    found = paired_difference(means, dict.fromkeys(means, 0.0))
    assert found is not None and found.p is not None
    return found.p


def worlds() -> list[World]:
    few = [World(categories=count) for count in (4, 6, 10, 15, 30)]
    return [
        *few,
        World(seeds=1),
        World(seeds=5),
        World(seed_sd=1.0),
        World(category_sd=0.0),
        World(tails=True),
    ]


def figures() -> list[Figure]:
    """The promise at 15 categories and 3 seeds; the whole table goes to reports/statistics."""
    found = {world: simulate(world) for world in worlds()}
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(as_table(found), encoding="utf-8")
    promised = found[World()]
    where = "15 categories × 3 seeds, category sd 1, seed sd 0.3: "
    how = f"{REPORTS} simulated reports"
    assert promised.resampled is not None and promised.false_positives is not None
    covered = (
        ("t interval", promised.t),
        ("interval by hierarchical resampling", promised.resampled),
    )
    made = [
        Figure(
            what=f"{where}coverage of the 95 % {name}",
            value=100 * share,
            unit="%",
            at_least=93,
            how=how,
        )
        for name, share in covered
    ]
    made.append(
        Figure(
            what=f"{where}false positives of the test",
            value=100 * promised.false_positives,
            unit="%",
            at_most=6,
            how=how,
        )
    )
    return made


def as_table(found: dict[World, Found]) -> str:
    """Markdown."""
    lines = [
        "# The report's statistics by simulation",
        "",
        (
            f"`cd tests && ../.venv/bin/python -m bench statistics`: {REPORTS:,} reports a row."
            " Differences to a baseline whose true mean is 0."
        ),
        "",
        (
            "- **t**, **resampled**: how often the report's two 95 % intervals of the mean"
            " difference hold the truth. Resampled: categories, then seeds, with"
        ),
        "  percentiles widened for few categories; printed from six categories on.",
        (
            "- **False positives**: how often Wilcoxon's p is below 0.05; **of a family**: how"
            " often any of three systems' is, after Holm's correction."
        ),
        (
            "- *Not printed, and why*: **percentile**, the resampled interval without widening;"
            " **pairs**, a t interval that takes every category and seed as"
        ),
        "  independent.",
        "",
        (
            "| Categories | Seeds | Category sd | Seed sd | t % | Resampled % | False positives % |"
            " of a family % | *Percentile %* | *Pairs %* |"
        ),
        "|" + "--:|" * 10,
    ]
    for world, one in found.items():
        spread = f"{world.category_sd:g}{', heavy tails (t, 4 degrees)' * world.tails}"
        shares = (one.t, one.resampled, one.false_positives, one.family, one.percentile, one.pairs)
        cells = [str(world.categories), str(world.seeds), spread, f"{world.seed_sd:g}"]
        cells += ["–" if share is None else f"{100 * share:.1f}" for share in shares]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
