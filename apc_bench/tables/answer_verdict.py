"""The answer's first words: yes, no, or that it cannot be told, of each system."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results, System
from apc_bench.results.answer import Answer
from apc_bench.results.changes import Change, beyond_chance
from apc_bench.results.detections import Detections
from apc_bench.tables.answer import ALIKE, told
from apc_bench.tables.number_format import points
from apc_bench.wording import counted

NAMED = 5
"""Photos, categories and defect types that are named at most."""


class Verdict(StrEnum):
    """Of a system against the baseline, as it is said after the system's name."""

    YES = "yes"
    FEWER = "no, it finds fewer"
    ALIKE = "no, it finds about as many"
    OPEN = "it cannot be told with so few photos"
    UNLEARNED = "no, without masks it has nothing to learn from them"


RANKED = {Verdict.FEWER: "no, it ranks them lower", Verdict.ALIKE: "no, it ranks about as well"}
"""What is said instead where there is no threshold."""


def verdict(change: Change, *, clear: bool) -> Verdict:
    """Of what a system changes. `clear`: whether it is beyond chance, in its family."""
    if clear:
        return Verdict.YES if change.mean > 0 else Verdict.FEWER
    low, high = change.interval
    return Verdict.ALIKE if low >= -ALIKE and high <= ALIKE else Verdict.OPEN


def verdicts(results: Results, answer: Answer) -> str:
    """`pill: do 10 defect photos help? APC: yes. PRNet: no, it finds fewer.`"""
    said = " ".join(
        f"{found.system.title}: {_one(answer, found)}." for found in told(answer) if answer.paired
    )
    return f"{answer.category}: {_question(results, answer)} {said}"


def _one(answer: Answer, found: Detections) -> str:
    if found.system in answer.unlearned:
        return _unlearned(answer, found)
    change = answer.change(found)
    said = verdict(change, clear=change.beyond_chance)
    if said is Verdict.OPEN:
        return f"{said} ({counted(answer.defects, 'defect')})"
    return RANKED.get(said, said) if answer.undefined else said


def _unlearned(answer: Answer, found: Detections) -> str:
    fewer = not answer.undefined and found.calibrated < answer.detections[0].calibrated
    threshold = ", its threshold set on fewer good photos" if fewer else ""
    return f"{Verdict.UNLEARNED} and ranks as {_baseline(answer)} does{threshold}"


def _baseline(answer: Answer) -> str:
    return answer.detections[0].system.title


def _question(results: Results, answer: Answer) -> str:
    if results.folded:
        return f"do your {len(answer.detections[0].photos)} defect photos help?"
    if not answer.shots:
        return f"is there a better system than {_baseline(answer)}?"
    verb = "does" if answer.shots == 1 else "do"
    return f"{verb} {counted(answer.shots, 'defect photo')} help?"


def verdicts_over(
    results: Results,
    answers: Sequence[Answer],
    systems: Mapping[System, Mapping[str, tuple[Answer, Detections]]],
    overall: Mapping[System, str],
) -> str:
    """The same over categories: `Do 10 defect photos help? APC: yes in pill (+68); no in screw, it
    finds fewer (−9).` `overall`: what a test over categories says first of each system, or nothing.
    """
    question = _question(results, answers[0])
    said = " ".join(
        f"{system.title}: {overall[system]}{_by_category(found)}."
        for system, found in systems.items()
    )
    return f"{question[0].upper()}{question[1:]} {said}"


def _by_category(found: Mapping[str, tuple[Answer, Detections]]) -> str:
    if all(mine.system in answer.unlearned for answer, mine in found.values()):
        return _unlearned(*next(iter(found.values())))
    changes = {name: answer.change(mine) for name, (answer, mine) in found.items()}
    clear = beyond_chance(changes)
    groups: dict[Verdict, list[str]] = {kind: [] for kind in Verdict}
    for name in sorted(changes, key=lambda one: (-abs(changes[one].mean), one)):
        named = f"{name} ({points(changes[name].printed(), 0)})"
        groups[verdict(changes[name], clear=name in clear)].append(named)
    words = {
        Verdict.YES: "yes in {}",
        Verdict.FEWER: "no in {}, where it finds fewer",
        Verdict.ALIKE: "no in {}, where it finds about as many",
        Verdict.OPEN: "it cannot be told with so few photos in {}",
    }
    return "; ".join(
        text.format(listed(groups[kind], NAMED)) for kind, text in words.items() if groups[kind]
    )
