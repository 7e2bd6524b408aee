"""Two sides against each other: systems in pairs, and for each metric the difference per category
and of the mean, with an interval where there is one.

Seeds are averaged first, over those that both sides have, and the unit of a mean is the category
(docs/method.md section 5, "Statistics").
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from apc_bench.compare.record import Key, Side
from apc_bench.errors import UsageError, listed
from apc_bench.metrics.catalogue import COMPARED_COSTS, METRICS
from apc_bench.statistics.differences import deviation, holm, mean, paired_difference, t_interval

PAIRED = "paired seeds"
APART = "seeds of each side"
ONE_SIDED = "seeds of one side; the other's spread is not known"
CATEGORIES = "categories"

BySeed = Mapping[int | None, float]


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


def pair_systems(a: Side, b: Side, asked: Sequence[tuple[str, str]]) -> list[tuple[Key, Key]]:
    """The pairs asked for by name; else the systems that both sides call the same; else those with
    the same shots, each with each.

    Raises UsageError for a name that a side does not have.
    """
    if asked:
        return [(_named(a, left), _named(b, right)) for left, right in asked]
    same = [system for system in a.systems if system in b.systems]
    if same:
        return [(system, system) for system in same]
    return [
        (one, other)
        for one in a.systems
        for other in b.systems
        if one[1] is not None and one[1] == other[1]
    ]


def _named(side: Side, name: str) -> Key:
    """A system by its method's name or title, with `@SHOTS` where it has several."""
    method, _, shots = name.rpartition("@") if name.rpartition("@")[2].isdigit() else (name, "", "")
    found = [
        system
        for system in side.systems
        if method in (system[0], side.title(system)) and shots in ("", str(system[1]))
    ]
    if len(found) != 1:
        said = f"{len(found)} systems are" if found else "no system is"
        names = listed(
            (f"{system[0]}{f'@{system[1]}' if system[1] else ''}" for system in side.systems), 20
        )
        raise UsageError(f"{side.name}: {said} called '{name}' (it has: {names})")
    return found[0]


def deltas(
    a: Side, b: Side, pairs: Sequence[tuple[Key, Key]], metrics: Sequence[str]
) -> list[Delta]:
    """Of every pair and metric that both have: the mean, then its categories."""
    found = []
    for metric in metrics:
        means, rest = [], []
        for one, other in pairs:
            left, right = values(a, one, metric, b.kind), values(b, other, metric, a.kind)
            by_category = [
                _category(one, other, metric, name, left[name], right[name])
                for name in left
                if name in right and name is not None
            ]
            rest += by_category
            if (whole := _mean(a, b, (one, other), metric, left, right, by_category)) is not None:
                means.append(whole)
        corrected = holm([delta.p for delta in means])
        found += [replace(delta, p=p) for delta, p in zip(means, corrected, strict=True)] + rest
    return found


def values(
    side: Side, system: Key, metric: str, against: str
) -> dict[str | None, dict[int | None, float]]:
    """Category -> seed -> figure. `against`: the other side's kind; beside what is no run, a run's
    figures on the full test set are used if it has them.
    """
    rows = [row for row in side.rows if row.system == system and row.metric == metric]
    subsets = {row.subset for row in rows}
    wanted = "full" if "full" in subsets and ("test" not in subsets or against != "run") else "test"
    found: dict[str | None, dict[int | None, float]] = {}
    for row in rows:
        if row.subset == wanted:
            found.setdefault(row.category, {})[row.seed] = row.value
    return found


def _category(
    one: Key, other: Key, metric: str, category: str, left: BySeed, right: BySeed
) -> Delta:
    shared = sorted(seed for seed in left if seed in right and seed is not None)
    if shared:
        left, right = {seed: left[seed] for seed in shared}, {seed: right[seed] for seed in shared}
    ours, theirs = mean(list(left.values())), mean(list(right.values()))
    interval, basis = _interval(
        [left[seed] - right[seed] for seed in shared], list(left.values()), list(right.values())
    )
    low, high = interval or (None, None)
    return Delta(
        one,
        other,
        metric,
        category,
        ours,
        theirs,
        ours - theirs,
        low,
        high,
        basis if interval else "",
        len(shared) or 1,
    )


def _interval(
    paired: Sequence[float], left: Sequence[float], right: Sequence[float]
) -> tuple[tuple[float, float] | None, str]:
    """Over paired seeds, else Welch's of two sides with seeds of their own, else of the one that
    has several.
    """
    if paired:
        return t_interval(paired), PAIRED
    if len(left) > 1 and len(right) > 1:
        return _welch(left, right), APART
    several, sign = (left, 1) if len(left) > 1 else (right, -1)
    own = t_interval(several)
    if own is None:
        return None, ""
    reach = (own[1] - own[0]) / 2
    centre = sign * mean(several) - sign * mean(right if several is left else left)
    return (centre - reach, centre + reach), ONE_SIDED


def _welch(left: Sequence[float], right: Sequence[float]) -> tuple[float, float]:
    parts = [(deviation(side) or 0.0) ** 2 / len(side) for side in (left, right)]
    centre, error = mean(left) - mean(right), math.sqrt(sum(parts))
    if not error:
        return centre, centre
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (left, right), strict=True)
    )
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return centre - reach, centre + reach


def _mean(
    a: Side,
    b: Side,
    pair: tuple[Key, Key],
    metric: str,
    left: Mapping[str | None, BySeed],
    right: Mapping[str | None, BySeed],
    by_category: Sequence[Delta],
) -> Delta | None:
    """The mean over shared categories; where a side prints only its mean, against the mean over the
    categories that it is of.
    """
    if by_category:
        ours, theirs = (
            {delta.category or "": value for delta, value in zip(by_category, column, strict=True)}
            for column in _columns(by_category)
        )
        found = paired_difference(ours, theirs)
        if found is None or metric in COMPARED_COSTS:
            low = high = None
        else:
            low, high = found.low, found.high
        over = len(by_category)
        return Delta(
            *pair,
            metric,
            None,
            mean(list(ours.values())),
            mean(list(theirs.values())),
            mean(list(ours.values())) - mean(list(theirs.values())),
            low,
            high,
            CATEGORIES if low is not None else "",
            over,
            found.p if found else None,
            found.reason if found else None,
            found.wins if found else 0,
            found.ties if found else 0,
            found.losses if found else 0,
        )
    ours_by_seed, theirs_by_seed = _printed(left, b), _printed(right, a)
    if not ours_by_seed or not theirs_by_seed or metric in COMPARED_COSTS:
        return None
    delta = _category(*pair, metric, "", ours_by_seed, theirs_by_seed)
    return replace(
        delta,
        category=None,
        reason="means alone: no test",
        over=len(b.categories or a.categories or ()) or 1,
    )


def _columns(by_category: Sequence[Delta]) -> tuple[list[float], list[float]]:
    return [delta.value_a for delta in by_category], [delta.value_b for delta in by_category]


def _printed(found: Mapping[str | None, BySeed], other: Side) -> BySeed:
    """A side's mean by seed: as it prints it, or over the categories that the other side's mean is
    of, all of which it must have.
    """
    if None in found:
        return found[None]
    wanted = (
        other.categories
        if other.categories is not None
        else tuple(name for name in found if name is not None)
    )
    if not wanted or set(wanted) != set(found):
        return {}
    tables = [found[name] for name in wanted]
    seeds = set.intersection(*(set(table) for table in tables))
    return {
        seed: mean([table[seed] for table in tables])
        for seed in sorted(seeds, key=lambda seed: (seed is None, seed or 0))
    }


def shared_metrics(a: Side, b: Side, pairs: Sequence[tuple[Key, Key]]) -> tuple[str, ...]:
    """Metrics that some pair of systems has on both sides, in the order of the schema."""
    left = {row.metric for row in a.rows if row.system in {one for one, _ in pairs}}
    right = {row.metric for row in b.rows if row.system in {other for _, other in pairs}}
    return tuple(metric for metric in METRICS if metric in left & right)
