"""The answer's reasons in words: why a system finds less than the baseline, by what the run has
measured (limits: results/causes.py), and which of two figures to go by where they point apart.
"""

from collections.abc import Iterator, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.causes import Evidence, beyond_allowed, lossy_types
from apc_bench.results.changes import printed_difference
from apc_bench.results.detections import Detections
from apc_bench.tables.answer import image_auroc
from apc_bench.tables.number_format import points

GO_BY = (
    "Which to go by: what is found, if thresholds stay as they are; the AUROC, if they can be set"
    " anew on more good photos."
)
"""Said once, last, of all systems and categories whose thresholds or figures differ so."""


def reasons(results: Results, answer: Answer, found: Detections, where: str = "") -> list[str]:
    """A sentence or two on a system that loses, or whose two figures point apart, then GO_BY where
    it is needed; none of the others. `where`: ` in pill`, where several categories are spoken of.
    """
    seen = answer.evidence.get(found.system)
    if seen is None or found.system in answer.unlearned:
        return list(_apart(results, answer, found, where))
    less = "ranks lower" if answer.undefined else "finds fewer"
    start = f"Why {found.system.title} {less}{where}:"
    if seen.by_threshold(answer.change(found)):
        return [f"{start} {_thresholds(results, answer, found, seen)}", GO_BY]
    causes = "; ".join(_causes(answer, found, seen))
    return [f"{start} {causes or _no_cause(answer)}.", *_apart(results, answer, found, where)]


def advised(lines: Sequence[str]) -> list[str]:
    """The lines, GO_BY once and last."""
    return [*(line for line in lines if line != GO_BY), *([GO_BY] if GO_BY in lines else [])]


def _thresholds(results: Results, answer: Answer, found: Detections, seen: Evidence) -> str:
    baseline, equal = answer.detections[0], seen.equal
    assert equal is not None
    title, other = found.system.title, baseline.system.title
    gap = _auroc_gap(results, answer, found)
    better = f"; it ranks better, too (image AUROC {points(gap, 1)})" if gap > 0 else ""
    return (
        f"the thresholds. {title}'s, set on {found.calibrated} good photos, calls"
        f" {_percent(found.false_alarms)} of the good test photos defective, {other}'s, set on"
        f" {baseline.calibrated}, {_percent(baseline.false_alarms)}. With thresholds that call"
        f" {100 * answer.allowed:g} % at most so (hindsight, an oracle), {title} would find"
        f" {100 * equal.ours:.0f} and {other} {100 * equal.theirs:.0f}{better}."
    )


def _causes(answer: Answer, found: Detections, seen: Evidence) -> Iterator[str]:
    other = answer.detections[0].system.title
    if seen.memorised:
        assert seen.drawn is not None
        assert seen.control is not None
        yield (
            "it has memorised its drawn photos, which it scores above unseen defects in"
            f" {100 * seen.drawn:.0f} of 100 pairs ({other}, which learned from neither, in"
            f" {100 * seen.control:.0f})"
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
