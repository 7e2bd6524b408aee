"""A comparison as a value: two sides, their pairs of systems, the deltas, what has no counterpart,
and why they may differ.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from apc_bench.compare.deltas import Delta, Pair, deltas, pair_systems, shared_metrics
from apc_bench.compare.record import Key, Side
from apc_bench.compare.run_diff import why_they_differ
from apc_bench.errors import UsageError, listed, unknown
from apc_bench.metrics.catalogue import COMPARED_COSTS, METRICS

DONE, UNJUDGED = 0, 3


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """`cautions`: (metric, how its definition differs) of figures that are compared; `apart`: (the
    source's name, why) of those that are not. `only`: what one side alone has. `reasons`: why
    nothing could be compared.
    """

    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    metrics: tuple[str, ...]
    deltas: tuple[Delta, ...]
    costs: tuple[Delta, ...]
    only: tuple[str, ...]
    cautions: tuple[tuple[str, str], ...]
    apart: tuple[tuple[str, str], ...]
    why: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0, or 3 where nothing could be compared (docs/architecture.md)."""
        return DONE if self.deltas else UNJUDGED

    def label(self, pair: Pair) -> str:
        """`APC, 5 shots`, or `PatchCore / PatchCore WR50 [patchcore_code]` where the two are called
        differently.
        """
        ours, theirs = self.a.title(pair[0]), self.b.title(pair[1])
        return ours if ours == theirs else f"{ours} / {theirs}"


def compare(
    a: Side, b: Side, *, metrics: Sequence[str] = (), pairs: Sequence[tuple[str, str]] = ()
) -> Comparison:
    """A − B. `metrics`: only these; `pairs`: systems by name, A's and B's. Raises UsageError for a
    name that is not there.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise UsageError(unknown("metric", metric, METRICS))
    paired = pair_systems(a, b, pairs)
    reason = _why_no_pair(a, b, paired)
    chosen: tuple[str, ...] = ()
    if reason is None:
        chosen = shared_metrics(a, b, paired, metrics)
    measured = deltas(a, b, paired, chosen)
    if reason is None and not measured:
        reason = _why_no_figure(a, b, chosen)
    costs: list[Delta] = []
    if measured:
        every = deltas(a, b, paired, COMPARED_COSTS)
        costs = [delta for delta in every if delta.category is None]
    only: list[str] = []
    why: list[tuple[str, str]] = []
    if not _other_data(a, b):
        only = list(_on_one_side(a, b, paired))
    if not _other_data(a, b) or (a.is_run and b.is_run):
        why = [*_test_sets(a, b, paired), *why_they_differ(a, b)]
    compared = {delta.metric for delta in (*measured, *costs)}
    cautions = [*a.cautions.items(), *b.cautions.items()]
    return Comparison(
        a=a,
        b=b,
        pairs=tuple(paired),
        metrics=chosen,
        deltas=tuple(measured),
        costs=tuple(costs),
        only=tuple(only),
        cautions=tuple(caution for caution in cautions if caution[0] in compared),
        apart=(*a.apart.items(), *b.apart.items()),
        why=tuple(why),
        reasons=() if reason is None else (reason,),
    )


def _other_data(a: Side, b: Side) -> bool:
    return bool(a.dataset and b.dataset and a.dataset != b.dataset)


def _why_no_pair(a: Side, b: Side, pairs: Sequence[Pair]) -> str | None:
    """Why no system of A can stand beside one of B; None where some can."""
    if _other_data(a, b):
        return f"other datasets: {a.dataset} and {b.dataset}"
    if pairs:
        return None
    return (
        f"no system of both: A has {_systems(a)}, B has {_systems(b)}; --pair A=B names two"
        " that belong together"
    )


def _systems(side: Side) -> str:
    titles = []
    for system in side.systems:
        title = side.title(system)
        titles.append(f"{title} (shots unknown)" if system[1] is None else title)
    return _several(titles)


def _several(titles: Sequence[str], limit: int = 8) -> str:
    """Titles of systems, which may hold commas."""
    shown = "; ".join(titles[:limit])
    if len(titles) <= limit:
        return shown
    return f"{shown}; and {len(titles) - limit} more"


def _why_no_figure(a: Side, b: Side, metrics: Sequence[str]) -> str:
    """Why systems that belong together share no figure."""
    if not metrics:
        return f"no metric of both: A has {listed(a.metrics)}, B has {listed(b.metrics)}"
    for side in (a, b):
        if side.categories is not None and not any(_measured_categories(side)):
            return (
                f"{side.name} prints means over {len(side.categories)} categories alone, all of"
                " which the other side would need"
            )
    ours, theirs = listed(a.categories or ()), listed(b.categories or ())
    return f"no category of both: A has {ours}, B has {theirs}"


def _measured_categories(side: Side) -> set[str | None]:
    """The categories with a figure; None among them where a mean is printed."""
    return {record.category for record in side.records}


def _on_one_side(a: Side, b: Side, pairs: Sequence[Pair]) -> Iterator[str]:
    """Systems without a partner, categories and seeds of one side, metrics of one side, and trials
    that are missing.
    """
    yield from _alone("A", a, b, paired={ours for ours, _ in pairs})
    yield from _alone("B", b, a, paired={theirs for _, theirs in pairs})
    if a.is_run and b.is_run and a.protocol == b.protocol:
        for pair in pairs:
            yield from _seeds(a, b, pair)


def _alone(letter: str, side: Side, other: Side, paired: Collection[Key]) -> Iterator[str]:
    systems = [side.title(system) for system in side.systems if system not in paired]
    if systems:
        yield f"only in {letter}: {_several(systems, 12)}"
    measured = _measured_categories(other)
    categories = [name for name in side.categories or () if name not in measured]
    if categories and any(measured):
        noun = "category" if len(categories) == 1 else "categories"
        yield f"only in {letter}: {noun} {listed(categories, 20)}"
    metrics = [metric for metric in side.metrics if metric not in other.metrics]
    if metrics:
        yield f"only in {letter}: {listed(metrics)}"
    if side.missing:
        yield f"missing in {letter}: {_several(side.missing, 4)}"


def _seeds(a: Side, b: Side, pair: Pair) -> Iterator[str]:
    ours = {record.seed for record in a.of(pair[0])}
    theirs = {record.seed for record in b.of(pair[1])}
    sides = (("A", a.title(pair[0]), ours - theirs), ("B", b.title(pair[1]), theirs - ours))
    for letter, title, seeds in sides:
        if seeds:
            noun = "seed" if len(seeds) == 1 else "seeds"
            yield f"only in {letter}: {title}, {noun} {listed(sorted(map(str, seeds), key=int))}"


def _test_sets(a: Side, b: Side, pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """Of two runs under other protocols, and of a fine-tuned system of a run, which has no figures
    on the full test set that other tools test on.
    """
    if a.is_run and b.is_run and a.protocol != b.protocol:
        yield (
            "test set",
            (
                f"A under protocol {a.protocol}, B under {b.protocol}: other images are tested, and"
                " seeds are no pairs"
            ),
        )
    if a.is_run == b.is_run:
        return
    run, index = (a, 0) if a.is_run else (b, 1)
    titles: list[str] = []
    for pair in pairs:
        system = pair[index]
        subsets = {record.subset for record in run.of(system)}
        if "full" not in subsets and run.title(system) not in titles:
            titles.append(run.title(system))
    if titles:
        yield (
            "test set",
            (
                f"{_several(titles)} on the test set without the reserve, the other side's figures"
                " on the full one"
            ),
        )
