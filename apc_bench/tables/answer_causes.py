"""The answer's reasons in words: why a system finds less than the baseline, or more by its
threshold alone, by what the run has measured (limits: results/causes.py), and which of two figures
to go by where they point apart.
"""

from collections.abc import Iterator, Mapping, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.causes import beyond_allowed, lossy_types
from apc_bench.results.changes import printed_difference
from apc_bench.results.detections import Detections
from apc_bench.tables.answer import image_auroc
from apc_bench.tables.number_format import points

GO_BY = (
    "Which to go by: what is found, if thresholds stay as they are; the AUROC, if they can be set"
    " anew on more good photos."
)
"""Said once, last, of all systems and categories whose thresholds or figures differ so."""


def reasons(
    results: Results,
    answer: Answer,
    found: Detections,
    where: str = "",
    elsewhere: Sequence[str] = (),
) -> list[str]:
    """A sentence or two on a system that loses, that wins by its threshold, or whose two figures
    point apart, then GO_BY where it is needed; none of the others. `where`: ` in pill`, where
    several categories are spoken of; `elsewhere`: those in which it has memorised its photos, too,
    and finds more.
    """
    seen = answer.evidence.get(found.system)
    if seen is None or found.system in answer.unlearned:
        return list(_apart(results, answer, found, where))
    change = answer.change(found)
    if seen.by_threshold(change):
        cause = _costly_threshold if change.mean < 0 else _generous_threshold
        return [cause(results, answer, found, where), GO_BY]
    if change.mean > 0:
        return list(_apart(results, answer, found, where))
    less = "ranks lower" if answer.undefined else "finds fewer"
    causes = list(_causes(answer, found, elsewhere)) or [_no_cause(answer)]
    told = "; ".join([*_ranked_lower(results, answer, found), *causes])
    return [
        f"Why {found.system.title} {less}{where}: {told}.",
        *_apart(results, answer, found, where),
    ]


def memorised_where_it_wins(answers: Mapping[str, tuple[Answer, Detections]]) -> list[str]:
    """Of one system's answers by category, those where it has memorised its drawn photos and finds
    more all the same.
    """
    return [
        f"{name} ({100 * (seen.drawn or 0):.0f})"
        for name, (answer, found) in answers.items()
        if (seen := answer.evidence.get(found.system))
        and seen.memorised
        and answer.change(found).mean > 0
    ]


def advised(lines: Sequence[str]) -> list[str]:
    """The lines, GO_BY once and last."""
    return [*(line for line in lines if line != GO_BY), *([GO_BY] if GO_BY in lines else [])]


def _costly_threshold(results: Results, answer: Answer, found: Detections, where: str) -> str:
    title, other = found.system.title, answer.detections[0].system.title
    return (
        f"Why {title} finds fewer{where}: the thresholds. {title}'s, set on {found.calibrated} good"
        f" photos, calls {_percent(found.false_alarms)} of the good test photos defective,"
        f" {other}'s, set on {answer.detections[0].calibrated},"
        f" {_percent(answer.detections[0].false_alarms)}. With thresholds that call"
        f" {100 * answer.allowed:g} % at most so (hindsight, an oracle),"
        f" {_at_equal(results, answer, found)}."
    )


def _generous_threshold(results: Results, answer: Answer, found: Detections, where: str) -> str:
    return (
        f"Most of what {found.system.title} finds more{where} comes from the thresholds: with such"
        f" that call {100 * answer.allowed:g} % of the good test photos defective at most"
        f" (hindsight, an oracle), {_at_equal(results, answer, found)}."
    )


def _at_equal(results: Results, answer: Answer, found: Detections) -> str:
    equal = answer.evidence[found.system].equal
    assert equal is not None
    gap = _auroc_gap(results, answer, found)
    ranks = f"; it ranks {'better, too' if gap > 0 else 'lower'} (image AUROC {points(gap, 1)})"
    return (
        f"{found.system.title} would find {100 * equal.ours:.0f} and"
        f" {answer.detections[0].system.title} {100 * equal.theirs:.0f}{ranks if gap else ''}"
    )


def _ranked_lower(results: Results, answer: Answer, found: Detections) -> Iterator[str]:
    gap = _auroc_gap(results, answer, found)
    if not answer.undefined and gap < 0 and answer.ranked(found).beyond_chance:
        yield f"no threshold would mend it, it ranks lower, too (image AUROC {points(gap, 1)})"


def _causes(answer: Answer, found: Detections, elsewhere: Sequence[str]) -> Iterator[str]:
    other, seen = answer.detections[0].system.title, answer.evidence[found.system]
    if seen.memorised:
        assert seen.drawn is not None
        assert seen.control is not None
        yield (
            "it has memorised its drawn photos, which it scores above unseen defects in"
            f" {100 * seen.drawn:.0f} of 100 pairs ({other}, which learned from neither, in"
            f" {100 * seen.control:.0f})"
            + (f", as in {listed(elsewhere)}, where it finds more" if elsewhere else "")
        )
    if limits := beyond_allowed(found, answer.allowed):
        low, high = (f"{100 * limit:.0f}" for limit in limits)
        yield (
            "good test photos score higher than those that its threshold was set on:"
            f" {_percent(found.false_alarms)} false alarms (95 % interval {low} to {high}) instead"
            f" of {100 * answer.allowed:g}"
        )
    if types := lossy_types(answer.by_type(found)):
        named = [f"{kind} ({points(change.printed(), 0)})" for kind, change in types.items()]
        yield f"most of the loss is in {listed(named)}"


def _no_cause(answer: Answer) -> str:
    return (
        "the run's figures show no cause (thresholds, drawn photos and defect types were looked"
        f" at); see the images that {answer.detections[0].system.title} alone"
        f" {'ranks higher' if answer.undefined else 'finds'}"
    )


def _apart(results: Results, answer: Answer, found: Detections, where: str) -> Iterator[str]:
    """`At its threshold APC finds 9 fewer of 100 in screw, yet …`, where what is found and the
    ranks differ in sign and at least one of them beyond chance.
    """
    if answer.undefined or not answer.paired or found is answer.baseline:
        return
    change, ranks = answer.change(found), answer.ranked(found)
    count, gap = change.printed(), _auroc_gap(results, answer, found)
    if count * gap >= 0 or not (change.beyond_chance or ranks.beyond_chance):
        return
    more, better = ("more", "worse") if count > 0 else ("fewer", "better")
    yield (
        f"At its threshold {found.system.title} finds {abs(100 * count):.0f} {more} of 100{where}"
        f"{_within(change.beyond_chance)}, yet it ranks {better} there (image AUROC"
        f" {points(gap, 1)}{_within(ranks.beyond_chance)}): thresholds lie differently, its own set"
        f" on {found.calibrated} good photos, {answer.detections[0].system.title}'s on"
        f" {answer.detections[0].calibrated}."
    )
    yield GO_BY


def _within(beyond: bool) -> str:
    return "" if beyond else ", within chance"


def _auroc_gap(results: Results, answer: Answer, found: Detections) -> float:
    """To the baseline, of the AUROCs as they are printed."""
    ours, theirs = (image_auroc(results, answer, one) for one in (found, answer.detections[0]))
    return printed_difference(ours, theirs, 1)


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"
