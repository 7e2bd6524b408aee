"""The answer of a run in words: what each system finds of the defects, whether the difference to
the baseline is beyond chance, on which defect types it helps and hurts, and, of a few photos of
one's own, what to photograph next.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import CHANCE, Answer, Change, beyond_chance
from apc_bench.results.detections import Detections
from apc_bench.statistics.differences import CATEGORIES_FOR_A_TEST, mean, paired_difference
from apc_bench.tables.answer import share_limits
from apc_bench.tables.number_format import p_value, points, points_interval
from apc_bench.wording import counted, enumerated

NAMED = 5
"""Photos, categories and defect types that are named at most."""

SYSTEMS_MAX = 4
"""Systems that are spoken of: the first of the job. The table has all."""


def answer_in_words(results: Results, answers: Sequence[Answer]) -> list[list[str]]:
    """Paragraphs of lines, the first line the answer itself: one a category under cross-fitting,
    else one for all categories together.
    """
    if results.folded or len(answers) == 1:
        return [sentences(results, answer) for answer in answers]
    return [_over_categories(results, answers)] if answers else []


def told(answer: Answer) -> Sequence[Detections]:
    """The systems that are spoken of besides the baseline: the fine-tuned ones, or all where none
    is.
    """
    tuned = [found for found in answer.others if not found.system.frozen]
    return (tuned or answer.others)[:SYSTEMS_MAX]


def sentences(results: Results, answer: Answer) -> list[str]:
    """One category's answer, a line each."""
    start = f"{answer.category}: {_learned_from(results, answer)}"
    if answer.undefined:
        return list(_ranked(results, answer, start))
    lines = _found(results, answer, start)
    if results.folded:
        lines += [*_too_few(answer.defects), *_next(answer)]
    return lines


def _learned_from(results: Results, answer: Answer) -> str:
    """What the fine-tuned systems were given, and what is tested, as a sentence begins."""
    if results.folded:
        photos = len(answer.detections[0].photos)
        return f"with your {photos} defect photos ({answer.shots} at a time to learn from) "
    unseen = results.settings.get("unseen")
    of = f" (none of '{unseen}', which alone is tested)" if unseen else ""
    if not answer.shots:
        return ""
    return f"with {counted(answer.shots, 'defect photo')} to learn from{of} "


def _found(results: Results, answer: Answer, start: str) -> list[str]:
    allowed = f"at {100 * answer.allowed:g} % false alarms"
    baseline = answer.baseline
    if baseline is None or not answer.others:
        finds = [_finds(answer, found) for found in (told(answer) or answer.detections)]
        return [f"{start}{enumerated(finds)} {allowed}.", _alarms(results, answer)]
    lines = []
    for found in told(answer):
        beside = f"{baseline.system.title} {_of_100(answer, baseline)}"
        change = answer.change(found)
        lines.append(
            f"{start}{_finds(answer, found)} {allowed}, {beside}; {_difference(change)}"
            f"{_by_type(answer, found)}."
        )
    return [*lines, _alarms(results, answer)]


def _finds(answer: Answer, found: Detections) -> str:
    return f"{found.system.title} finds {_of_100(answer, found, ' of 100 defects')}"


def _of_100(answer: Answer, found: Detections, what: str = "") -> str:
    low, high = share_limits(answer, found)
    return f"{100 * found.share:.0f}{what} (95 % interval {100 * low:.0f} to {100 * high:.0f})"


def _difference(change: Change) -> str:
    beyond = "is beyond chance" if change.beyond_chance else "is not beyond chance"
    interval = f"95 % interval {points_interval(*change.interval, 0)}"
    return f"the difference, {points(change.mean, 0)} ({interval}), {beyond} (p = {change.p:.2g})"


def _by_type(answer: Answer, found: Detections) -> str:
    """`; by type it helps on hole (+33), hurts on nick (−17), beyond chance by itself on hole`."""
    if len(answer.types) < 2:
        return ""
    changes = answer.by_type(found)
    parts = [
        f"{verb} on {_named(those)}"
        for verb, those in (("helps", _up(changes)), ("hurts", _down(changes)))
        if those
    ]
    if not parts:
        return "; on no defect type does it find more or fewer"
    clear = sorted(beyond_chance(changes))
    by_itself = f"on {listed(clear, NAMED)}" if clear else "on none of them"
    return f"; it {' and '.join(parts)}, {by_itself} beyond chance by itself"


def _up(changes: Mapping[str, Change]) -> dict[str, float]:
    gains = {name: change.mean for name, change in changes.items() if round(change.mean, 2) > 0}
    return dict(sorted(gains.items(), key=lambda pair: (-pair[1], pair[0])))


def _down(changes: Mapping[str, Change]) -> dict[str, float]:
    losses = {name: change.mean for name, change in changes.items() if round(change.mean, 2) < 0}
    return dict(sorted(losses.items(), key=lambda pair: (pair[1], pair[0])))


def _named(gains: Mapping[str, float]) -> str:
    return listed((f"{name} ({points(gain, 0)})" for name, gain in gains.items()), NAMED)


def _alarms(results: Results, answer: Answer) -> str:
    """What stands against the defects found: false alarms, and ranks, which need no threshold."""
    where = "normal photos that were set apart" if results.folded else "normal test images"
    shown = [*([answer.baseline] if answer.baseline else []), *told(answer)]
    alarms = _by_system({found: found.false_alarms or 0 for found in shown})
    ranks = _by_system({found: found.pooled_auroc for found in shown}, 1)
    return f"False alarms on the {where}: {alarms}. Image AUROC, without a threshold: {ranks}."


def _by_system(shares: Mapping[Detections, float], decimals: int = 0) -> str:
    """`PatchCore 3 %, APC 5 %`; with decimals, without the sign."""
    sign = "" if decimals else " %"
    texts = [
        f"{one.system.title} {100 * share:.{decimals}f}{sign}" for one, share in shares.items()
    ]
    return ", ".join(texts)


def _ranked(results: Results, answer: Answer, start: str) -> Iterator[str]:
    """The answer where no threshold says what is found: how well defects rank above normal images,
    and the difference.
    """
    reasons = [f"{enumerated(titles)}: {why}" for why, titles in answer.undefined.items()]
    yield f"{start}there is no threshold ({'; '.join(reasons)}), so this is how well they rank."
    baseline = answer.baseline
    for found in told(answer) or answer.detections:
        pairs = _pairs(answer, found, "a defect above a normal photo in ")
        line = f"{found.system.title} ranks {pairs}"
        if baseline is not None and found is not baseline:
            line += f", {baseline.system.title} {_pairs(answer, baseline)}"
            line += f"; {_difference(answer.change(found))}{_by_type(answer, found)}"
        yield f"{line}."
    if not results.folded:
        return
    yield from _too_few(answer.defects)
    best = max(reversed(answer.detections), key=lambda found: found.auroc)
    lowest = sorted(best.photos, key=lambda photo: (photo.rank, photo.image))
    hardest = [photo.image for photo in lowest if photo.rank < 1]
    if hardest:
        yield (
            f"Ranked lowest by {best.system.title}, so of which more photos are needed:"
            f" {listed(hardest, NAMED)}."
        )


def _pairs(answer: Answer, found: Detections, what: str = "") -> str:
    """`83 of 100 pairs (AUROC; 95 % interval 60 to 95)`."""
    low, high = share_limits(answer, found)
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f}"
    pairs = " of 100 pairs (AUROC; " if what else " ("
    return f"{what}{100 * found.auroc:.0f}{pairs}{interval})"


def _over_categories(results: Results, answers: Sequence[Answer]) -> list[str]:
    """The answer over several categories: a line a system, then false alarms and ranks."""
    known = [answer for answer in answers if not answer.undefined]
    if not known or not known[0].paired or not known[0].others:
        return [line for answer in answers for line in sentences(results, answer)]
    lines = [_system_over(results, known, found) for found in told(known[0])]
    lines.append(_alarms_over(known))
    if len(known) < len(results.categories):
        missing = [name for name in results.categories if name not in _by_category(known)]
        lines.append(f"Nothing can be said yet of {listed(missing, NAMED)}.")
    return lines


def _by_category(answers: Sequence[Answer]) -> dict[str, Answer]:
    return {answer.category: answer for answer in answers}


def _system_over(results: Results, answers: Sequence[Answer], one: Detections) -> str:
    """`Over 4 categories, with 10 defect photos each to learn from, APC finds …`."""
    found = {
        answer.category: (answer, mine)
        for answer in answers
        for mine in answer.others
        if mine.system == one.system
    }
    ours = {name: mine.share for name, (_, mine) in found.items()}
    theirs = {name: answer.detections[0].share for name, (answer, _) in found.items()}
    changes = {name: answer.change(mine) for name, (answer, mine) in found.items()}
    learned = _learned_from(results, answers[0]).strip().replace(" to learn", " each to learn")
    start = (
        f"Over {counted(len(found), 'category', 'categories')}{', ' if learned else ''}{learned}"
    )
    title = answers[0].detections[0].system.title
    return (
        f"{start}, {one.system.title} finds {100 * mean(list(ours.values())):.0f} of 100 defects at"
        f" {100 * answers[0].allowed:g} % false alarms, {title}"
        f" {100 * mean(list(theirs.values())):.0f}; {_claim(ours, theirs)};"
        f" {_where(changes)}{_largest(found)}."
    )


def _claim(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Whether the mean difference is beyond chance, with categories as the unit."""
    difference = paired_difference(ours, theirs)
    assert difference is not None
    text = f"the difference is {points(difference.mean, 0)}"
    if difference.p is None:
        few = f"too few for a claim about others (a test needs {CATEGORIES_FOR_A_TEST})"
        return f"{text}, over {counted(len(ours), 'category', 'categories')}, {few}"
    interval = ""
    if difference.low is not None and difference.high is not None:
        interval = f"95 % interval {points_interval(difference.low, difference.high, 0)}, "
    beyond = "beyond chance" if difference.p < CHANCE else "not beyond chance"
    return f"{text} ({interval}p = {p_value(difference.p)}), {beyond}"


def _where(changes: Mapping[str, Change]) -> str:
    """`beyond chance by itself it helps in weave (+20), hurts in washer (−12)`."""
    clear = {name: changes[name] for name in beyond_chance(changes)}
    parts = [
        f"{verb} in {_named(those)}"
        for verb, those in (("helps", _up(clear)), ("hurts", _down(clear)))
        if those
    ]
    if not parts:
        return "in no category is it beyond chance by itself"
    return f"beyond chance by itself it {' and '.join(parts)}"


def _largest(found: Mapping[str, tuple[Answer, Detections]]) -> str:
    """`; by type it helps most on weave's hole (+33), hurts most on washer's nick (−17)`."""
    changes = {
        f"{name}'s {kind}": change
        for name, (answer, mine) in found.items()
        for kind, change in answer.by_type(mine).items()
        if len(answer.types) > 1
    }
    parts = []
    for verb, those in (("helps", _up(changes)), ("hurts", _down(changes))):
        if those:
            name, gain = next(iter(those.items()))
            parts.append(f"{verb} most on {name} ({points(gain, 0)})")
    return f"; by type it {' and '.join(parts)}" if parts else ""


def _alarms_over(answers: Sequence[Answer]) -> str:
    """Means over categories of false alarms and image AUROC."""
    alarms, ranks = defaultdict(list), defaultdict(list)
    for answer in answers:
        for found in (answer.detections[0], *told(answer)):
            alarms[found.system.title].append(100 * (found.false_alarms or 0))
            ranks[found.system.title].append(100 * found.pooled_auroc)
    rates = ", ".join(f"{title} {mean(values):.0f} %" for title, values in alarms.items())
    aurocs = ", ".join(f"{title} {mean(values):.1f}" for title, values in ranks.items())
    return (
        f"False alarms on the normal test images: {rates}. Image AUROC, without a threshold:"
        f" {aurocs}."
    )


def _too_few(defects: int) -> list[str]:
    """With n pairs the smallest two-sided p of a sign test is 2^(1 − n)."""
    needed = math.ceil(1 - math.log2(CHANCE))
    if defects >= needed:
        return []
    return [
        f"{defects} defects cannot show any difference beyond chance; {needed} can, where all of"
        " them tell for one side."
    ]


def _next(answer: Answer) -> Iterator[str]:
    """The defect types that are missed most, or the photos where there is one type."""
    found = max(reversed(answer.detections), key=lambda one: one.share)
    title = found.system.title
    missed = sorted(
        (photo for photo in found.photos if photo.missed),
        key=lambda photo: (-photo.missed, photo.rank),
    )
    if not missed:
        yield (
            f"{title} misses none of them: photograph harder defects, and other types, to learn"
            " more."
        )
        return
    if len(answer.types) > 1:
        types = listed(_missed_types(found), NAMED)
        yield f"Photograph next, by what {title} misses most: {types}."
    hardest = listed((photo.image for photo in missed), NAMED)
    yield f"Hardest photos, of which more are needed: {hardest}."


def _missed_types(found: Detections) -> list[str]:
    """`scratch (40 % of 5 missed)`: the defect types of which any is missed, the worst first."""
    by_type: dict[str, list[float]] = defaultdict(list)
    for photo in found.photos:
        by_type[photo.defect_type].append(photo.missed)
    missed = {kind: mean(shares) for kind, shares in by_type.items() if any(shares)}
    return [
        f"{kind} ({100 * missed[kind]:.0f} % of {len(by_type[kind])} missed)"
        for kind in sorted(missed, key=lambda kind: (-missed[kind], kind))
    ]
