"""A run against figures that somebody printed: published ones by name, or another tool's table
(compare/sources.py). They have no seeds and no noise of their own, so the noise is the run's alone.
"""

from collections.abc import Sequence

import numpy as np

from apc_bench.compare.record import Key, Side
from apc_bench.errors import UsageError, listed, unknown
from apc_bench.gate.verdicts import Family
from apc_bench.results.aggregate import FULL, TEST, System
from apc_bench.results.pairing import Missing, Pair, figures
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.differences import mean
from apc_bench.statistics.variance import Array

Chosen = tuple[System, Key]


def choose(
    tonight: RecordedRun, side: Side, asked: Sequence[tuple[str, str]]
) -> tuple[list[Chosen], list[str]]:
    """The run's systems, each with the printed one that it is judged against, and why others have
    none.

    `asked`: by name, a method of the run (`apc`, or `apc@10` for one of its shots) and a system of
    the table. Else those of the same shots and the same first word of their titles, where there is
    one of each. Raises UsageError for a name that is not there.
    """
    if asked:
        return [(_system(tonight, ours), _key(side, theirs)) for ours, theirs in asked], []
    found, reasons = [], []
    for system in tonight.results.systems:
        fitting = [
            key
            for key in side.systems
            if key[1] == system.shots and _word(side.title(key)) == _word(system.title)
        ]
        if len(fitting) == 1:
            found.append((system, fitting[0]))
        elif fitting:
            reasons.append(
                f"{system.label} may be any of {listed(map(side.title, fitting))}; say which with"
                f" --pair {system.method}=NAME"
            )
    for key in dict.fromkeys(key for _, key in found):
        ours = [system for system, other in found if other == key]
        if len(ours) > 1:
            named = listed(system.label for system in ours)
            reasons.append(
                f"{named} may all be {side.title(key)}; say which with --pair"
                f" METHOD={side.title(key)!r}"
            )
            found = [pair for pair in found if pair[1] != key]
    if not found and not reasons:
        have = listed(map(side.title, side.systems), 12)
        reasons.append(
            f"no system of the run is one of {side.name} by title and shots ({have}); say which"
            " with --pair METHOD=NAME"
        )
    return found, reasons


def _word(title: str) -> str:
    return title.replace(",", " ").split()[0].casefold() if title.split() else ""


def _system(tonight: RecordedRun, name: str) -> System:
    method, _, shots = name.partition("@")
    found = [
        system
        for system in tonight.results.systems
        if method == system.method and shots in ("", str(system.shots))
    ]
    if len(found) != 1:
        known = [
            f"{system.method}@{system.shots}" if system.shots else system.method
            for system in tonight.results.systems
        ]
        raise UsageError(
            f"--pair {name}: {len(found) or 'no'} systems of the run;"
            f" {unknown('system', name, known)}"
        )
    return found[0]


def _key(side: Side, name: str) -> Key:
    found = [key for key in side.systems if name in (key[0], side.title(key))]
    if len(found) != 1:
        raise UsageError(
            f"{len(found) or 'no'} systems of {side.name};"
            f" {unknown('system', name, map(side.title, side.systems))}"
        )
    return found[0]


def families(
    tonight: RecordedRun, side: Side, chosen: Sequence[Chosen], metrics: Sequence[str]
) -> tuple[list[Family], list[Missing], list[str]]:
    """The pairs with the printed figures, what of these has no counterpart in the run, and what a
    reader must know of each pair.
    """
    made, missing, notes = (
        [],
        [],
        [
            f"{side.name} has {metric} as: {why}"
            for metric, why in side.cautions.items()
            if metric in metrics
        ],
    )
    for system, key in chosen:
        subset = FULL if tonight.results.rows(system, FULL) else TEST
        notes.append(
            f"{system.label} is judged against {side.title(key)}"
            + ", which was tested with the reserve too" * (subset == TEST)
        )
        lost = {
            (category, seed): reason for category, seed, reason in tonight.results.missing(system)
        }
        missing += [
            Missing(system.label, category, seed, f"tonight {reason}")
            for (category, seed), reason in lost.items()
        ]
        for metric in metrics:
            family, absent = _family(tonight, side, system, key, metric, subset)
            made += [family] if family else []
            missing += absent
    return made, missing, notes


def _family(
    tonight: RecordedRun, side: Side, system: System, key: Key, metric: str, subset: str
) -> tuple[Family | None, list[Missing]]:
    rows = [row for row in side.records if row.system == key and row.metric == metric]
    printed = {
        category: mean([row.value for row in rows if row.category == category])
        for category in {row.category for row in rows}
    }
    if not printed:
        return None, []
    single = {name: value for name, value in printed.items() if name is not None}
    named = tuple(sorted(single)) if single else side.categories or tonight.results.categories
    absent = [
        Missing(system.label, name, None, "not in tonight's run")
        for name in named
        if name not in tonight.results.categories
    ]
    if absent and not single:
        return None, [
            Missing(
                system.label,
                None,
                None,
                f"{metric}: a mean over {len(named)} categories, of which tonight lacks"
                f" {len(absent)}",
            )
        ]
    categories = tuple(name for name in named if name in tonight.results.categories)
    if not categories:
        return None, absent
    pair = Pair(
        system,
        system,
        categories,
        system.seeds,
        frozenset((name, seed) for name in categories for seed in system.seeds),
        len(named),
    )
    new = figures(tonight.results, system, pair, metric, subset)
    if not np.isfinite(new).any():
        return None, [*absent, Missing(system.label, None, None, f"{metric} is undefined tonight")]
    if not single and not np.isfinite(new).all():
        return None, [
            *absent,
            Missing(
                system.label,
                None,
                None,
                f"{metric}: a mean over {len(named)} categories, which tonight's is not whole for",
            ),
        ]
    old: Array = np.array(
        [[single[name] if single else printed[None]] * len(system.seeds) for name in categories]
    )
    old = np.where(np.isfinite(new), old, np.nan)  # a trial without a result is named once
    return (
        Family(
            pair,
            metric,
            new,
            old,
            np.empty((0, *new.shape)),
            mean_only=not single and len(categories) > 1,
        ),
        absent,
    )
