"""The answer of a run of several categories in words, with the category as the unit."""

from collections.abc import Iterator, Mapping, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results, System
from apc_bench.results.answer import Answer
from apc_bench.results.changes import Change, beyond, printed_difference
from apc_bench.results.detections import Detections
from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    holm,
    mean,
    paired_difference,
)
from apc_bench.tables.answer import image_auroc, told
from apc_bench.tables.answer_causes import advised, memorised_where_it_wins, reasons
from apc_bench.tables.answer_far_apart import LOOK, photos_far_apart
from apc_bench.tables.answer_verdict import NAMED, verdicts_over
from apc_bench.tables.number_format import p_value, points, points_interval
from apc_bench.wording import counted

EXPLAINED = 3
"""Categories of which a system's loss is explained at most, the largest losses first."""

Found = Mapping[str, tuple[Answer, Detections]]
"""Category -> its answer, and what a system finds there."""


def over_categories(results: Results, answers: Sequence[Answer], learned: str) -> list[str]:
    """The answer over `answers` that have a threshold and a baseline: yes or no of each system,
    what it finds, a line on defect types and one on each loss, then false alarms and ranks.
    `learned`: what the systems had to learn from, in words.
    """
    systems = {found.system: _of_system(answers, found.system) for found in told(answers[0])}
    whole = counted(len(answers), "category", "categories")
    photos = learned.strip().replace(" to learn", " each to learn")
    allowed = f"{100 * answers[0].allowed:g} % false alarms"
    baseline = answers[0].detections[0].system.title
    theirs = 100 * mean([answer.detections[0].share for answer in answers])
    differences = _differences(systems)
    shares = [
        f"{system.title} {100 * _share(found):.0f} ({differences[system][0]})"
        for system, found in systems.items()
    ]
    head = (
        f"Over {whole}{', ' if photos else ''}{photos}, at {allowed}: {baseline} finds"
        f" {theirs:.0f} of 100 defects, {', '.join(shares)}{_too_few(len(answers))}."
    )
    overall = {system: said for system, (_, said) in differences.items()}
    lines = [verdicts_over(results, answers, systems, overall), head]
    if types := [text for system, found in systems.items() for text in _types(system, found)]:
        lines.append(f"By defect type {'; '.join(types)}.")
    why = [line for found in systems.values() for line in _reasons(results, found)]
    lines += advised(why)
    lines.append(_alarms(results, answers))
    in_each = [photos_far_apart(results, one, f" in {one.category}") for one in answers]
    if far := [line for lines_of in in_each for line in lines_of]:
        lines += [*far[:EXPLAINED], LOOK]
    known = {answer.category for answer in answers}
    if missing := [name for name in results.categories if name not in known]:
        lines.append(f"Nothing can be said yet of {listed(missing, NAMED)}.")
    return lines


def _of_system(answers: Sequence[Answer], system: System) -> Found:
    return {
        answer.category: (answer, mine)
        for answer in answers
        for mine in answer.others
        if mine.system == system
    }


def _share(found: Found) -> float:
    return mean([mine.share for _, mine in found.values()])


def _differences(systems: Mapping[System, Found]) -> dict[System, tuple[str, str]]:
    """System -> its difference in words (`+16`, and, from as many categories as a test needs, its
    interval and p, corrected for the number of systems), and the verdict that it gives, which
    stands before that on single categories.
    """
    pairs = {
        system: (
            {name: mine.share for name, (_, mine) in found.items()},
            {name: answer.detections[0].share for name, (answer, _) in found.items()},
        )
        for system, found in systems.items()
    }
    tested = [paired_difference(*pair) for pair in pairs.values()]
    corrected = holm([one.p if one else None for one in tested])
    said = {}
    for (system, (ours, theirs)), one, p in zip(pairs.items(), tested, corrected, strict=True):
        assert one is not None
        averages = mean(list(ours.values())), mean(list(theirs.values()))
        text, verdict = points(printed_difference(*averages), 0), ""
        if p is not None and one.low is not None and one.high is not None:
            clear = beyond(p, (one.low, one.high))
            interval = points_interval(one.low, one.high, 0)
            chance = "beyond chance" if clear else "not beyond chance"
            text += f", 95 % interval {interval}, p = {p_value(p)}: {chance}"
            verdict = ("yes; " if one.mean > 0 else "no, it finds fewer; ") if clear else ""
            verdict = verdict or "over all it cannot be told; "
        said[system] = (text, verdict)
    return said


def _too_few(categories: int) -> str:
    if categories >= CATEGORIES_FOR_A_TEST:
        return ""
    return (
        f"; {categories} categories are too few for a claim about others (a test needs"
        f" {CATEGORIES_FOR_A_TEST})"
    )


def _types(system: System, found: Found) -> Iterator[str]:
    """`APC helps most on weave's hole (+33) and hurts most on tile's oil (−9, within chance)`."""
    changes = {
        f"{name}'s {kind}": change
        for name, (answer, mine) in found.items()
        for kind, change in answer.by_type(mine).items()
        if len(answer.types) > 1
    }
    parts = []
    for verb, those in (("helps", gained(changes)), ("hurts", lost(changes))):
        if those:
            name, gain = next(iter(those.items()))
            within = "" if changes[name].beyond_chance else ", within chance"
            parts.append(f"{verb} most on {name} ({points(gain, 0)}{within})")
    if parts:
        yield f"{system.title} {' and '.join(parts)}"


def _reasons(results: Results, found: Found) -> list[str]:
    """Of the categories with the largest losses, and those whose figures point apart."""
    order = sorted(found.items(), key=lambda item: item[1][0].change(item[1][1]).mean)
    wins = memorised_where_it_wins(found)
    said = [reasons(results, answer, mine, f" in {name}", wins) for name, (answer, mine) in order]
    return [line for lines in [lines for lines in said if lines][:EXPLAINED] for line in lines]


def _alarms(results: Results, answers: Sequence[Answer]) -> str:
    """Means over categories of false alarms and image AUROC."""
    alarms: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    for answer in answers:
        for found in (answer.detections[0], *told(answer)):
            title = found.system.title
            alarms.setdefault(title, []).append(100 * (found.false_alarms or 0))
            ranks.setdefault(title, []).append(100 * image_auroc(results, answer, found))
    rates = ", ".join(f"{title} {mean(values):.0f} %" for title, values in alarms.items())
    aurocs = ", ".join(f"{title} {mean(values):.1f}" for title, values in ranks.items())
    return (
        f"False alarms on the normal test images: {rates}. Image AUROC, without a threshold:"
        f" {aurocs}."
    )


def gained(changes: Mapping[str, Change]) -> dict[str, float]:
    """What a system finds more of, the most first."""
    gains = {name: change.printed() for name, change in changes.items() if change.printed() > 0}
    return dict(sorted(gains.items(), key=lambda pair: (-pair[1], pair[0])))


def lost(changes: Mapping[str, Change]) -> dict[str, float]:
    """What it finds fewer of, the largest loss first."""
    losses = {name: change.printed() for name, change in changes.items() if change.printed() < 0}
    return dict(sorted(losses.items(), key=lambda pair: (pair[1], pair[0])))


def with_gains(gains: Mapping[str, float]) -> str:
    """`hole (+33), stain (+8)`."""
    return listed((f"{name} ({points(gain, 0)})" for name, gain in gains.items()), NAMED)
