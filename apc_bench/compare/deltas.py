"""Two sides against each other: systems in pairs, and for each metric the difference per category
and of the mean, with an interval where there is one.

Seeds are averaged first, over those that both sides have, and the unit of a mean is the category
(docs/method.md section 5, "Statistics").
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import scipy

from apc_bench.compare.record import Key, Side
from apc_bench.errors import UsageError
from apc_bench.metrics.catalogue import COMPARED_COSTS, METRICS
from apc_bench.statistics.differences import deviation, holm, mean, paired_difference, t_interval

PAIRED = "paired seeds"
APART = "seeds of each side"
ONE_SIDED = "seeds of one side; the other's spread is not known"
CATEGORIES = "categories"

Pair = tuple[Key, Key]
"""A system of A and the one of B that it is compared with."""

BySeed = Mapping[int | None, float]
ByCategory = Mapping[str | None, BySeed]


@dataclass(frozen=True, slots=True)
class Delta:
    """A − B of one pair of systems, one metric, in one category (None: the mean over `over` of
    them). Fractions of 1; costs in their units.

    `low`, `high`: 95 % t interval, None where nothing tells a spread; `basis`: what it is over.
    `p`: Wilcoxon over categories, Holm-corrected over the pairs of systems of a metric, None with
    the `reason`.
    """

    a: Key
    b: Key
    metric: str
    category: str | None
    value_a: float
    value_b: float
    difference: float
    low: float | None = None
    high: float | None = None
    basis: str = ""
    over: int = 1
    p: float | None = None
    reason: str | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0

    @property
    def pair(self) -> Pair:
        """The systems that are compared."""
        return self.a, self.b


def pair_systems(a: Side, b: Side, asked: Sequence[tuple[str, str]]) -> list[Pair]:
    """The pairs asked for by name; else the systems that both sides call the same; else those with
    the same shots, each with each.

    Raises UsageError for a name that a side does not have.
    """
    if asked:
        return [(_named(a, ours), _named(b, theirs)) for ours, theirs in asked]
    same = [(system, system) for system in a.systems if system in b.systems]
    if same:
        return same
    pairs: list[Pair] = []
    for ours in a.systems:
        if ours[1] is not None:
            pairs += [(ours, theirs) for theirs in b.systems if theirs[1] == ours[1]]
    return pairs


def _named(side: Side, name: str) -> Key:
    """A system by its method's name or title, with `@SHOTS` where it has several."""
    method, shots = name, ""
    before, _, after = name.rpartition("@")
    if after.isdigit():
        method, shots = before, after
    fitting = [system for system in side.systems if method in (system[0], side.title(system))]
    if shots:
        fitting = [system for system in fitting if str(system[1]) == shots]
    if len(fitting) == 1:
        return fitting[0]
    count = f"{len(fitting)} systems are" if fitting else "no system is"
    known = ", ".join(map(_written, side.systems))
    raise UsageError(f"{side.name}: {count} called '{name}' (it has: {known})")


def _written(system: Key) -> str:
    """A system as an option names it: `patchcore`, `apc@5`."""
    name, shots = system
    return f"{name}@{shots}" if shots else name


def deltas(a: Side, b: Side, pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Delta]:
    """Of every pair and metric that both have: the mean, then its categories."""
    every: list[Delta] = []
    same_seeds = not (a.is_run and b.is_run) or a.protocol == b.protocol
    for metric in metrics:
        means, single = [], []
        for pair in pairs:
            figures = _Figures(
                pair,
                metric,
                values(a, pair[0], metric, against=b),
                values(b, pair[1], metric, against=a),
                same_seeds,
            )
            categories = figures.in_categories()
            single += categories
            if categories:
                means.append(_mean_over(categories))
            elif (printed := figures.printed_mean(a, b)) is not None:
                means.append(printed)
        corrected = holm([delta.p for delta in means])
        for delta, p in zip(means, corrected, strict=True):
            every.append(replace(delta, p=p))
        every += single
    return every


def values(side: Side, system: Key, metric: str, against: Side) -> dict[str | None, BySeed]:
    """Category -> seed -> figure. Beside what is no run, a run's figures on the full test set are
    used if it has them.
    """
    records = [record for record in side.of(system) if record.metric == metric]
    subsets = {record.subset for record in records}
    subset = "test"
    if "full" in subsets and ("test" not in subsets or not against.is_run):
        subset = "full"
    by_category: dict[str | None, dict[int | None, float]] = {}
    for record in records:
        if record.subset == subset:
            by_category.setdefault(record.category, {})[record.seed] = record.value
    return dict(by_category)


@dataclass(frozen=True, slots=True)
class _Figures:
    """One metric of a pair of systems, as each side has it. `same_seeds`: whether a seed of one
    side is that of the other.
    """

    pair: Pair
    metric: str
    ours: ByCategory
    theirs: ByCategory
    same_seeds: bool = True

    def in_categories(self) -> list[Delta]:
        """The difference in each category that both sides have."""
        shared = [name for name in self.ours if name in self.theirs and name is not None]
        return [self._delta(name, self.ours[name], self.theirs[name]) for name in shared]

    def printed_mean(self, a: Side, b: Side) -> Delta | None:
        """Where a side prints only its mean: against the other's mean over the categories that it
        is of. None where the other does not have them all.
        """
        ours, theirs = _mean_by_seed(self.ours, b), _mean_by_seed(self.theirs, a)
        if not ours or not theirs or self.metric in COMPARED_COSTS:
            return None
        return replace(
            self._delta(None, ours, theirs),
            reason="means alone: no test",
            over=len(b.categories or a.categories or ()) or 1,
        )

    def _delta(self, category: str | None, ours: BySeed, theirs: BySeed) -> Delta:
        shared = sorted(seed for seed in ours if seed in theirs and seed is not None)
        if shared and self.same_seeds:
            ours = {seed: ours[seed] for seed in shared}
            theirs = {seed: theirs[seed] for seed in shared}
            paired = [ours[seed] - theirs[seed] for seed in shared]
            interval, basis = t_interval(paired), PAIRED
        else:
            interval, basis = _unpaired_interval(list(ours.values()), list(theirs.values()))
        value_a, value_b = mean(list(ours.values())), mean(list(theirs.values()))
        low, high = interval or (None, None)
        return Delta(
            *self.pair,
            metric=self.metric,
            category=category,
            value_a=value_a,
            value_b=value_b,
            difference=value_a - value_b,
            low=low,
            high=high,
            basis=basis if interval else "",
            over=len(shared) if basis == PAIRED else 1,
        )


def _unpaired_interval(
    ours: Sequence[float], theirs: Sequence[float]
) -> tuple[tuple[float, float] | None, str]:
    """Welch's of two sides with seeds of their own, else of the one that has several."""
    if len(ours) > 1 and len(theirs) > 1:
        return _welch(ours, theirs), APART
    own = t_interval(ours if len(ours) > 1 else theirs)
    if own is None:
        return None, ""
    reach = (own[1] - own[0]) / 2
    centre = mean(ours) - mean(theirs)
    return (centre - reach, centre + reach), ONE_SIDED


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the difference of two means, with Welch and Satterthwaite's degrees of
    freedom.
    """
    our_part, their_part = _squared_error(ours), _squared_error(theirs)
    centre = mean(ours) - mean(theirs)
    error = math.sqrt(our_part + their_part)
    if not error:
        return centre, centre
    squares = our_part**2 / (len(ours) - 1) + their_part**2 / (len(theirs) - 1)
    freedom = (our_part + their_part) ** 2 / squares
    reach = float(scipy.stats.t.ppf(0.975, freedom)) * error
    return centre - reach, centre + reach


def _squared_error(values: Sequence[float]) -> float:
    """Of the mean of the values."""
    return (deviation(values) or 0.0) ** 2 / len(values)


def _mean_over(categories: Sequence[Delta]) -> Delta:
    """The mean of the differences in at least one category, tested over them; a cost has no
    interval.
    """
    ours, theirs = {}, {}
    for delta in categories:
        ours[delta.category or ""] = delta.value_a
        theirs[delta.category or ""] = delta.value_b
    value_a, value_b = mean(list(ours.values())), mean(list(theirs.values()))
    whole = replace(
        categories[0],
        category=None,
        value_a=value_a,
        value_b=value_b,
        difference=value_a - value_b,
        low=None,
        high=None,
        basis="",
        over=len(categories),
    )
    test = paired_difference(ours, theirs)
    if test is None:
        return whole
    if test.low is not None and whole.metric not in COMPARED_COSTS:
        whole = replace(whole, low=test.low, high=test.high, basis=CATEGORIES)
    return replace(
        whole,
        p=test.p,
        reason=test.reason,
        wins=test.wins,
        ties=test.ties,
        losses=test.losses,
    )


def _mean_by_seed(figures: ByCategory, other: Side) -> BySeed:
    """A side's mean by seed: as it prints it, or over the categories that the other side's mean is
    of, all of which it must have.
    """
    if None in figures:
        return figures[None]
    wanted = other.categories
    if wanted is None:
        wanted = tuple(name for name in figures if name is not None)
    if not wanted or set(wanted) != set(figures):
        return {}
    tables = [figures[name] for name in wanted]
    means: dict[int | None, float] = {}
    for seed in sorted(set.intersection(*map(set, tables)), key=_seed_order):
        means[seed] = mean([table[seed] for table in tables])
    return means


def _seed_order(seed: int | None) -> tuple[bool, int]:
    """An untold seed is the last."""
    return seed is None, seed or 0


def shared_metrics(
    a: Side, b: Side, pairs: Sequence[Pair], asked: Sequence[str] = ()
) -> tuple[str, ...]:
    """Metrics that some pair of systems has on both sides, in the order of the schema; of those
    `asked` for, where any are.
    """
    ours: set[str] = set()
    theirs: set[str] = set()
    for left, right in pairs:
        ours |= {record.metric for record in a.of(left)}
        theirs |= {record.metric for record in b.of(right)}
    shared = ours & theirs
    if asked:
        shared &= set(asked)
    return tuple(metric for metric in METRICS if metric in shared)
