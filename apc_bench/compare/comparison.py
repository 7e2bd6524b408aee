"""A comparison as a value: two sides, their pairs of systems, the deltas, what has no counterpart,
and why they may differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apc_bench.compare.deltas import Delta, deltas, pair_systems, shared_metrics
from apc_bench.compare.record import Key, Side
from apc_bench.compare.run_diff import why
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
    pairs: tuple[tuple[Key, Key], ...]
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

    def label(self, pair: tuple[Key, Key]) -> str:
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
    found = pair_systems(a, b, pairs)
    reasons = []
    other_data = bool(a.dataset and b.dataset and a.dataset != b.dataset)
    if other_data:
        reasons.append(f"other datasets: {a.dataset} and {b.dataset}")
    elif not found:
        reasons.append(
            f"no system of both: A has {_systems(a)}, B has {_systems(b)}; --pair A=B names two"
            " that belong together"
        )
    chosen = (
        tuple(metric for metric in shared_metrics(a, b, found) if not metrics or metric in metrics)
        if not reasons
        else ()
    )
    measured = deltas(a, b, found, chosen)
    if not reasons and not measured:
        reasons.append(_why_nothing(a, b, chosen))
    costs = (
        [delta for delta in deltas(a, b, found, COMPARED_COSTS) if delta.category is None]
        if measured
        else []
    )
    used = {delta.metric for delta in (*measured, *costs)}
    cautions = [
        (metric, why_)
        for side in (a, b)
        for metric, why_ in side.cautions.items()
        if metric in used
    ]
    return Comparison(
        a,
        b,
        tuple(found),
        chosen,
        tuple(measured),
        tuple(costs),
        () if other_data else tuple(_only(a, b, found)),
        tuple(cautions),
        tuple((name, why_) for side in (a, b) for name, why_ in side.apart.items()),
        () if other_data else (*_test_sets(a, b, found), *why(a, b)),
        tuple(reasons),
    )


def _systems(side: Side) -> str:
    return _several(
        [side.title(system) + " (shots unknown)" * (system[1] is None) for system in side.systems]
    )


def _several(titles: Sequence[str], limit: int = 8) -> str:
    """Titles of systems, which may hold commas."""
    return "; ".join(titles[:limit]) + f"; and {len(titles) - limit} more" * (len(titles) > limit)


def _why_nothing(a: Side, b: Side, metrics: Sequence[str]) -> str:
    if not metrics:
        return f"no metric of both: A has {listed(_metrics(a))}, B has {listed(_metrics(b))}"
    means = next((side for side in (a, b) if not any(row.category for row in side.rows)), None)
    if means is not None and means.categories is not None:
        return (
            f"{means.name} prints means over {len(means.categories)} categories alone, all of which"
            " the other side would need"
        )
    return (
        f"no category of both: A has {listed(a.categories or ())}, B has"
        f" {listed(b.categories or ())}"
    )


def _metrics(side: Side) -> list[str]:
    return [metric for metric in METRICS if any(row.metric == metric for row in side.rows)]


def _only(a: Side, b: Side, pairs: Sequence[tuple[Key, Key]]) -> Iterator[str]:
    """Systems without a partner, categories and seeds of one side, metrics of one side, and trials
    that are missing.
    """
    for name, side, other, paired in (
        ("A", a, b, {one for one, _ in pairs}),
        ("B", b, a, {two for _, two in pairs}),
    ):
        alone = [side.title(system) for system in side.systems if system not in paired]
        if alone:
            yield f"only in {name}: {_several(alone, 12)}"
        measured = {row.category for row in other.rows}
        names = [category for category in side.categories or () if category not in measured]
        if names and any(measured):
            yield (
                f"only in {name}: {'category' if len(names) == 1 else 'categories'}"
                f" {listed(names, 20)}"
            )
        metrics = [metric for metric in _metrics(side) if metric not in _metrics(other)]
        if metrics:
            yield f"only in {name}: {listed(metrics)}"
        if side.missing:
            yield f"missing in {name}: {_several(side.missing, 4)}"
    if a.kind == b.kind == "run":
        yield from _seeds(a, b, pairs)


def _seeds(a: Side, b: Side, pairs: Sequence[tuple[Key, Key]]) -> Iterator[str]:
    for one, other in pairs:
        left, right = (
            {row.seed for row in side.rows if row.system == system}
            for side, system in ((a, one), (b, other))
        )
        for name, seeds, side, system in (
            ("A", left - right, a, one),
            ("B", right - left, b, other),
        ):
            if seeds:
                yield (
                    f"only in {name}: {side.title(system)},"
                    f" {'seed' if len(seeds) == 1 else 'seeds'}"
                    f" {listed(sorted(map(str, seeds), key=int))}"
                )


def _test_sets(a: Side, b: Side, pairs: Sequence[tuple[Key, Key]]) -> Iterator[tuple[str, str]]:
    """A fine-tuned system of a run has no figures on the full test set that other tools test on."""
    if (a.kind == "run") == (b.kind == "run"):
        return
    run, index = (a, 0) if a.kind == "run" else (b, 1)
    tuned = [
        pair[index]
        for pair in pairs
        if not any(row.subset == "full" for row in run.rows if row.system == pair[index])
    ]
    titles = list(dict.fromkeys(run.title(system) for system in tuned))
    if titles:
        yield (
            "test set",
            (
                f"{_several(titles)} on the test set without the reserve, the other side's figures"
                " on the full one"
            ),
        )
