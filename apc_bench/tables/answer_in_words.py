"""The answer of a run in words: yes or no, what each system finds of the defects, whether the
difference to the baseline is beyond chance, on which defect types it helps and hurts, why it fails
where it does, and, of a few photos of one's own, what to photograph next.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.changes import CHANCE, Change, beyond_chance
from apc_bench.results.detections import Detections
from apc_bench.statistics.differences import mean
from apc_bench.tables.answer import image_auroc, share_limits, spoken_of, told
from apc_bench.tables.answer_causes import advised, reasons
from apc_bench.tables.answer_far_apart import LOOK, photos_far_apart
from apc_bench.tables.answer_over_categories import gained, lost, over_categories, with_gains
from apc_bench.tables.answer_verdict import NAMED, verdicts
from apc_bench.tables.number_format import points, points_interval
from apc_bench.wording import counted, enumerated


def answer_in_words(results: Results, answers: Sequence[Answer]) -> list[list[str]]:
    """Paragraphs of lines, the first line the answer itself: one a category under cross-fitting,
    else one for all categories together.
    """
    if results.folded or len(answers) == 1:
        return [sentences(results, answer) for answer in answers]
    if not answers:
        return []
    known = [answer for answer in answers if not answer.undefined and told(answer)]
    if not known or not known[0].paired:
        return [sentences(results, answer) for answer in answers]
    return [over_categories(results, known, learned_from(results, known[0]))]


def sentences(results: Results, answer: Answer) -> list[str]:
    """One category's answer, a line each."""
    compared = answer.paired and answer.others
    head = [verdicts(results, answer)] if compared else []
    learned = learned_from(results, answer)
    start = f"{learned[:1].upper()}{learned[1:]}" if head else f"{answer.category}: {learned}"
    systems = told(answer) if compared else ()
    why = advised([line for found in systems for line in reasons(results, answer, found)])
    if answer.undefined:
        return [*head, *_ranked(results, answer, start, why)]
    far = list(photos_far_apart(results, answer))
    lines = [*_found(answer, start), *why, _alarms(results, answer), *far, *([LOOK] if far else [])]
    if results.folded:
        lines += [*_too_few(answer.defects), *_next(answer)]
    return [*head, *lines]


def learned_from(results: Results, answer: Answer) -> str:
    """What the fine-tuned systems were given, and what is tested, as a sentence begins."""
    if results.folded:
        photos = len(answer.detections[0].photos)
        return f"with your {photos} defect photos ({answer.shots} at a time to learn from) "
    unseen = results.settings.get("unseen")
    of = f" (none of '{unseen}', which alone is tested)" if unseen else ""
    if not answer.shots:
        return ""
    return f"with {counted(answer.shots, 'defect photo')} to learn from{of} "


def _found(answer: Answer, start: str) -> list[str]:
    allowed = f"at {100 * answer.allowed:g} % false alarms"
    baseline = answer.baseline
    if baseline is None or not answer.others:
        finds = [_finds(answer, found) for found in (told(answer) or answer.detections)]
        return [f"{start}{enumerated(finds)} {allowed}."]
    lines: list[str] = []
    for found in told(answer):
        beside = f" {allowed}, {baseline.system.title} {_of_100(answer, baseline)}"
        first = not lines
        line = f"{start if first else ''}{_finds(answer, found)}{beside if first else ''}"
        lines.append(f"{line}; {_difference(answer.change(found))}{_by_type(answer, found)}.")
    return lines


def _finds(answer: Answer, found: Detections) -> str:
    return f"{found.system.title} finds {_of_100(answer, found, ' of 100 defects')}"


def _of_100(answer: Answer, found: Detections, what: str = "") -> str:
    low, high = share_limits(answer, found)
    return f"{100 * found.share:.0f}{what} (95 % interval {100 * low:.0f} to {100 * high:.0f})"


def _difference(change: Change, decimals: int = 0) -> str:
    """`the difference, +12 (95 % interval +3 to +20), is beyond chance (p = 0.001)`."""
    interval = f"95 % interval {points_interval(*change.interval, decimals)}"
    difference = f"the difference, {points(change.printed(decimals), decimals)} ({interval}),"
    p = f"p = {change.p:.2g}"
    if change.beyond_chance:
        return f"{difference} is beyond chance ({p})"
    if change.on_the_edge:
        holds = "though the interval holds 0" if change.p < CHANCE else "though it leaves out 0"
        return f"{difference} is on the edge of chance ({p}, {holds})"
    return f"{difference} is not beyond chance ({p})"


def _by_type(answer: Answer, found: Detections) -> str:
    """`; by type it helps on hole (+33), hurts on nick (−17), beyond chance by itself on hole`."""
    if len(answer.types) < 2:
        return ""
    changes = answer.by_type(found)
    parts = [
        f"{verb} on {with_gains(those)}"
        for verb, those in (("helps", gained(changes)), ("hurts", lost(changes)))
        if those
    ]
    if not parts:
        return "; on no defect type does it find more or fewer"
    clear = sorted(beyond_chance(changes))
    by_itself = f"on {listed(clear, NAMED)}" if clear else "on none of them"
    return f"; it {' and '.join(parts)}, {by_itself} beyond chance by itself"


def _alarms(results: Results, answer: Answer) -> str:
    """What stands against the defects found: false alarms, and ranks, which need no threshold."""
    where = "normal photos that were set apart" if results.folded else "normal test images"
    shown = spoken_of(answer)
    alarms = _by_system({found: found.false_alarms or 0 for found in shown})
    ranks = _by_system({found: image_auroc(results, answer, found) for found in shown}, 1)
    return f"False alarms on the {where}: {alarms}. Image AUROC, without a threshold: {ranks}."


def _by_system(shares: Mapping[Detections, float], decimals: int = 0) -> str:
    """`PatchCore 3 %, APC 5 %`; with decimals, without the sign."""
    sign = "" if decimals else " %"
    texts = [
        f"{one.system.title} {100 * share:.{decimals}f}{sign}" for one, share in shares.items()
    ]
    return ", ".join(texts)


def _ranked(results: Results, answer: Answer, start: str, why: Sequence[str]) -> Iterator[str]:
    """The answer where no threshold says what is found: how well defects rank above normal images,
    and the difference. `why`: lines on those that rank lower.
    """
    reasons = [f"{enumerated(titles)}: {why}" for why, titles in answer.undefined.items()]
    yield f"{start}there is no threshold ({'; '.join(reasons)}), so this is how well they rank."
    baseline = answer.baseline
    for found in told(answer) or answer.detections:
        pairs = _pairs(answer, found, "a defect above a normal photo in ")
        line = f"{found.system.title} ranks {pairs}"
        if baseline is not None and found is not baseline:
            line += f", {baseline.system.title} {_pairs(answer, baseline)}"
            line += f"; {_difference(answer.change(found), 1)}{_by_type(answer, found)}"
        yield f"{line}."
    yield from why
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
    """`83.1 of 100 pairs (AUROC; 95 % interval 60 to 95)`."""
    low, high = share_limits(answer, found)
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f}"
    pairs = " of 100 pairs (AUROC; " if what else " ("
    return f"{what}{100 * found.auroc:.1f}{pairs}{interval})"


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
