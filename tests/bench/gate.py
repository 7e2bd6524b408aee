"""The gate's promises by simulation: alarms on nights without a change, and the power at the drop
that it prints as detectable.

The judgement under test is the product's own (apc_bench/gate: noise_of, judge), which takes
thousands of nights at once. From the folder `tests`: `python -m bench gate` prints the goals, and
writes the whole table to reports/gate/simulation.md.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from bench.figure import Figure
from numpy.typing import NDArray

from apc_bench.gate.verdict import judge
from apc_bench.statistics.variance import noise_of

CATEGORIES = 15
NIGHTS = 2_000
TOLERANCE = 0.5
SPREADS = (0.3, 0.5, 1.0)
SEEDS = tuple(range(3, 11))
TABLE = Path(__file__).resolve().parents[2] / "reports" / "gate" / "simulation.md"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How nights are drawn: every value anew around its category's level, so tonight and the
    reference share nothing.

    spread: sd over seeds, points. uneven: sd of the log of the categories' own spreads. tails:
    Student's t with 4 degrees instead of a normal. recorded: nights in the folder, the reference
    among them; 1: a run alone. metrics: judged together with the one looked at.
    """

    spread: float
    seeds: int
    recorded: int = 1
    uneven: float = 0.0
    tails: bool = False
    categories: int = CATEGORIES
    metrics: int = 1
    nights: int = NIGHTS

    @cached_property
    def generator(self) -> np.random.Generator:
        return np.random.default_rng(
            [int(100 * float(value)) for value in dataclasses.astuple(self)]
        )

    def spreads(self) -> Array:
        """One spread a simulated gate and category."""
        return self.spread * np.exp(
            self.uneven * self.generator.standard_normal((self.nights, self.categories))
        )

    def draw(self, spreads: Array, count: int) -> Array:
        """(gates, nights, categories, seeds)."""
        shape = (self.nights, count, self.categories, self.seeds)
        noise = (
            self.generator.standard_t(4, shape) / np.sqrt(2)
            if self.tails
            else self.generator.standard_normal(shape)
        )
        return noise * spreads[:, None, :, None]

    @property
    def units(self) -> int:
        return self.categories + (self.categories > 1)


@dataclass(frozen=True)
class Found:
    """Shares of the gates: `alarms` and `rises` without a change and without a tolerance; power at
    the drop printed, in a category and of the mean.

    `category`, `mean`: the drop printed (median), points. `next_…`: power against the same drop on
    another night.
    """

    alarms: float
    rises: float
    power_category: float
    power_mean: float
    category: float
    mean: float
    next_category: float
    next_mean: float

    @property
    def power(self) -> float:
        return min(self.power_category, self.power_mean, self.next_category, self.next_mean)


def simulate(world: World) -> Found:
    """Gates without a change, then the same with the printed drop put into each unit by turns."""
    spreads = world.spreads()
    recorded = world.draw(spreads, world.recorded)
    tonight, tomorrow = (world.draw(spreads, 1)[:, 0] for _ in range(2))

    def judged(night: Array, tolerance: float):
        differences = night - recorded[:, -1]
        noise, source = noise_of(
            differences, recorded if world.recorded > 1 else recorded[:, :0], recorded[:, -1]
        )
        return judge(
            differences,
            noise,
            tolerance=tolerance,
            tests=world.units * world.metrics,
            anew=source.anew,
        )

    still, seen, later = (
        judged(tonight, 0.0),
        judged(tonight, TOLERANCE),
        judged(tomorrow, TOLERANCE),
    )
    # A drop of a whole category, or of all of them for the mean, moves the change by as much and
    # leaves the noise as it is.
    found, found_later = (one.change - seen.detectable < -one.limit for one in (seen, later))
    single = slice(0, world.categories)
    return Found(
        still.dropped.any(-1).mean(),
        still.rose.any(-1).mean(),
        found[:, single].mean(),
        found[:, -1].mean(),
        float(np.median(seen.detectable[:, single])),
        float(np.median(seen.detectable[:, -1])),
        found_later[:, single].mean(),
        found_later[:, -1].mean(),
    )


def worlds() -> dict[str, list[World]]:
    """The settings of the promise, then what else may happen."""
    grid = [(spread, seeds) for spread in SPREADS for seeds in SEEDS]
    few = [(0.5, seeds) for seeds in (3, 5, 10)]
    return {
        "against a run alone": [World(spread, seeds) for spread, seeds in grid],
        "against a folder of 10 nights": [
            World(spread, seeds, recorded=10) for spread, seeds in grid
        ],
        "a run alone; categories whose spreads differ by a factor of 1.6 either way (sd of the log 0.5)": [
            World(*one, uneven=0.5) for one in few
        ],
        "the same, by a factor of 2.7 (sd of the log 1)": [World(*one, uneven=1.0) for one in few],
        "the same against a folder of 10 nights": [
            World(*one, uneven=1.0, recorded=10) for one in few
        ],
        "a run alone; heavy tails (Student's t, 4 degrees)": [
            World(*one, tails=True) for one in few
        ],
        "a run alone; 3 methods × 4 metrics judged together": [
            World(*one, metrics=12) for one in few
        ],
        "a run alone; 4 categories": [World(*one, categories=4) for one in few],
        "a run alone; 1 category": [World(*one, categories=1) for one in few],
    }


def figures() -> list[Figure]:
    """The worst settings of the promise; the whole table goes to reports/gate."""
    found = {
        title: [(world, simulate(world)) for world in some] for title, some in worlds().items()
    }
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(as_table(found), encoding="utf-8")
    made = []
    for title in list(found)[:2]:
        results = [one for _, one in found[title]]
        what = f"gate {title}, seed sd 0.3 to 1.0, 3 to 10 seeds: "
        alarms, power = max(one.alarms for one in results), min(one.power for one in results)
        made.append(
            Figure(
                what=what + "most alarms without a change",
                value=100 * alarms,
                unit="%",
                at_most=1,
                how=f"{NIGHTS} nights a setting",
            )
        )
        made.append(
            Figure(
                what=what + "least power at the drop printed",
                value=100 * power,
                unit="%",
                at_least=95,
            )
        )
    return made


def as_table(found: dict[str, list[tuple[World, Found]]]) -> str:
    """Markdown, one table for each kind of world."""
    lines = [
        "# The gate by simulation",
        "",
        (
            f"`cd tests && ../.venv/bin/python -m bench gate`: {NIGHTS:,} nights a row, 15"
            " categories and their mean judged together unless said. Every value"
        ),
        (
            "is drawn anew around its category's level, tonight's as the reference's: they share"
            " nothing. Drops are in percentage points."
        ),
        "",
        (
            "- **Alarms**, **rises**: nights without a change on which any unit was called a"
            " regression, or a rise, with no tolerance at all (`--max-drop 0`)."
        ),
        (
            "- **Drop**: the smallest one that the gate says it finds, at a tolerance of"
            f" {TOLERANCE} points; median over nights."
        ),
        (
            "- **Found**: how often a drop as large as the one printed is called a regression on"
            " the same night; **later**: on another night."
        ),
    ]
    heads = (
        "Seed sd",
        "Seeds",
        "Alarms %",
        "Rises %",
        "Drop of a category",
        "Found %",
        "Later %",
        "Drop of the mean",
        "Found %",
        "Later %",
    )
    for title, rows in found.items():
        lines += [
            "",
            f"## {title[0].upper()}{title[1:]}",
            "",
            f"| {' | '.join(heads)} |",
            "|" + "--:|" * len(heads),
        ]
        for world, one in rows:
            category = (
                f"{one.category:.2f} | {100 * one.power_category:.1f} |"
                f" {100 * one.next_category:.1f}"
            )
            mean = f"{one.mean:.2f} | {100 * one.power_mean:.1f} | {100 * one.next_mean:.1f}"
            lines.append(
                f"| {world.spread} | {world.seeds} | {100 * one.alarms:.2f} | {100 * one.rises:.2f}"
                f" | {category} | {mean} |"
            )
    return "\n".join(lines) + "\n"
