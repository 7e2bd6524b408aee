"""The answer of a run of several categories in words, with the category as the unit."""

from collections.abc import Iterator, Mapping, Sequence

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results, System
from apc_bench.results.answer import CHANCE, Answer, Change, beyond_chance
from apc_bench.results.detections import Detections
from apc_bench.statistics.differences import (
    CATEGORIES_FOR_A_TEST,
    holm,
    mean,
    paired_difference,
)
from apc_bench.tables.answer import image_auroc, told
from apc_bench.tables.number_format import p_value, points, points_interval
from apc_bench.wording import counted

NAMED = 5
"""Photos, categories and defect types that are named at most."""

Found = Mapping[str, tuple[Answer, Detections]]
"""Category -> its answer, and what a system finds there."""


def over_categories(results: Results, answers: Sequence[Answer], learned: str) -> list[str]:
    """The answer over `answers` that have a threshold and a baseline: what each system finds, a
    line a system on where it helps and hurts, then false alarms and ranks. `learned`: what the
    systems had to learn from, in words.
    """
    systems = {found.system: _of_system(answers, found.system) for found in told(answers[0])}
    whole = counted(len(answers), "category", "categories")
    photos = learned.strip().replace(" to learn", " each to learn")
    allowed = f"{100 * answers[0].allowed:g} % false alarms"
    baseline = answers[0].detections[0].system.title
    theirs = 100 * mean([answer.detections[0].share for answer in answers])
    head = (
        f"Over {whole}{', ' if photos else ''}{photos}, at {allowed}: {baseline} finds"
        f" {theirs:.0f} of 100 defects, {', '.join(_shares(systems))}{_too_few(len(answers))}"
    )
    effects = [f"{_where(found)}{_largest(found)}" for found in systems.values()]
    if len(effects) == 1:
        lines = [f"{head}; {effects[0]}."]
    else:
        named = zip(systems, effects, strict=True)
        lines = [f"{head}.", *(f"{system.title}: {effect}." for system, effect in named)]
    lines.append(_alarms(results, answers))
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


def _shares(systems: Mapping[System, Found]) -> Iterator[str]:
    """`APC 33 (+16)` of each system; from as many categories as a test needs, whether that is
    beyond chance, corrected for the number of systems.
    """
    pairs = {
        system: (
            {name: mine.share for name, (_, mine) in found.items()},
            {name: answer.detections[0].share for name, (answer, _) in found.items()},
        )
        for system, found in systems.items()
    }
    differences = [paired_difference(*pair) for pair in pairs.values()]
    corrected = holm([one.p if one else None for one in differences])
    for (system, (ours, _)), one, p in zip(pairs.items(), differences, corrected, strict=True):
        assert one is not None
        text = points(one.mean, 0)
        if p is not None and one.low is not None and one.high is not None:
            beyond = "beyond chance" if p < CHANCE else "not beyond chance"
            interval = points_interval(one.low, one.high, 0)
            text += f", 95 % interval {interval}, p = {p_value(p)}: {beyond}"
        yield f"{system.title} {100 * mean(list(ours.values())):.0f} ({text})"


def _too_few(categories: int) -> str:
    if categories >= CATEGORIES_FOR_A_TEST:
        return ""
    return (
        f"; {categories} categories are too few for a claim about others (a test needs"
        f" {CATEGORIES_FOR_A_TEST})"
    )


def _where(found: Found) -> str:
    """`beyond chance by itself it helps in weave (+20) and hurts in washer (−12)`."""
    changes = {name: answer.change(mine) for name, (answer, mine) in found.items()}
    clear = {name: changes[name] for name in beyond_chance(changes)}
    parts = [
        f"{verb} in {with_gains(those)}"
        for verb, those in (("helps", gained(clear)), ("hurts", lost(clear)))
        if those
    ]
    if not parts:
        return "in no category is the difference beyond chance by itself"
    return f"beyond chance by itself it {' and '.join(parts)}"


def _largest(found: Found) -> str:
    """`; by type it helps most on weave's hole (+33), hurts most on washer's nick (−17)`."""
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
            parts.append(f"{verb} most on {name} ({points(gain, 0)})")
    return f"; by type it {' and '.join(parts)}" if parts else ""


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
    gains = {name: change.mean for name, change in changes.items() if round(change.mean, 2) > 0}
    return dict(sorted(gains.items(), key=lambda pair: (-pair[1], pair[0])))


def lost(changes: Mapping[str, Change]) -> dict[str, float]:
    """What it finds fewer of, the largest loss first."""
    losses = {name: change.mean for name, change in changes.items() if round(change.mean, 2) < 0}
    return dict(sorted(losses.items(), key=lambda pair: (pair[1], pair[0])))


def with_gains(gains: Mapping[str, float]) -> str:
    """`hole (+33), stain (+8)`."""
    return listed((f"{name} ({points(gain, 0)})" for name, gain in gains.items()), NAMED)
