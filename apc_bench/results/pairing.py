"""Trials of two nights side by side: which pairs there are, which are missing and why, and the
figures of them as arrays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from apc_bench.results.aggregate import TEST, Results, System, Trial
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.variance import Array

SETTINGS_NAMED = 4
"""Settings of a trial that a reason names at most."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A trial that could not be judged, and why. `seed` None: all seeds; `category` None: all
    categories.
    """

    system: str
    category: str | None
    seed: int | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One system on both nights. `places`: (category, seed) whose trials exist on both and are the
    same but for the code; `planned`: how many categories the reference has.
    """

    system: System
    before: System
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    places: frozenset[tuple[str, int]]
    planned: int


def pair_up(tonight: Results, before: Results) -> tuple[list[Pair], list[Missing], list[str]]:
    """The pairs of every system of the earlier night; what of that night's plan has no pair; and
    lines on what only tonight has.
    """
    pairs, missing = [], []
    for old in before.systems:
        new = tonight.system(old.method, old.shots)
        if new is None:
            missing.append(Missing(old.label, None, None, "not in tonight's run"))
            continue
        pair, without = _pair(tonight, before, new, old)
        pairs.append(pair)
        missing += without
    return pairs, missing, _only_tonight(tonight, before)


def _pair(
    tonight: Results, before: Results, new: System, old: System
) -> tuple[Pair, list[Missing]]:
    places, missing = set(), []
    for category in before.categories:
        if category not in tonight.categories:
            missing.append(Missing(old.label, category, None, "not in tonight's run"))
            continue
        for seed in old.seeds:
            reason = _unlike(tonight, before, (new, category, seed), (old, category, seed))
            if reason is None:
                places.add((category, seed))
            else:
                missing.append(Missing(new.label, category, seed, reason))
    shared = tuple(name for name in before.categories if name in tonight.categories)
    return Pair(new, old, shared, old.seeds, frozenset(places), len(before.categories)), missing


def _unlike(
    tonight: Results, before: Results, new: tuple[System, str, int], old: tuple[System, str, int]
) -> str | None:
    """Why two trials are no pair."""
    if new not in tonight.trials:
        return "not in tonight's run"
    here, there = tonight.trials[new], before.trials[old]
    if here.missing is not None:
        return f"tonight {here.missing}"
    if there.missing is not None:
        return f"in the reference {there.missing}"
    if _row(here)["trial_id"] != _row(there)["trial_id"]:
        return f"other settings than in the reference{_setting(tonight, before, new[0].method)}"
    category = new[1]
    if tonight.info.fingerprints.get(category) != before.info.fingerprints.get(category):
        return "other images than in the reference"
    return None


def _setting(tonight: Results, before: Results, method: str) -> str:
    """` (image_size 96, was 128)`: the settings that make a trial another one."""
    new, old = dict(_flat(tonight.settings, method)), dict(_flat(before.settings, method))
    names = [name for name in sorted({*new, *old}) if new.get(name) != old.get(name)]
    if not names:
        return ""
    differing = [f"{name} {new.get(name)!r}, was {old.get(name)!r}" for name in names]
    return f" ({'; '.join(differing[:SETTINGS_NAMED])})"


def _flat(settings: Mapping[str, Any], method: str) -> Iterable[tuple[str, Any]]:
    for name in ("dataset", "image_size", "resize", "interpolation", "reserve", "false_alarms"):
        yield name, settings.get(name)
    chosen = settings.get("methods", {}).get(method, {})
    yield from ((name, chosen.get(name)) for name in ("detector", "backbone"))
    yield from chosen.get("settings", {}).items()


def _row(trial: Trial) -> Mapping[str, Any]:
    return trial.rows[TEST]


def _only_tonight(tonight: Results, before: Results) -> list[str]:
    """Systems, categories and seeds that the earlier night does not have."""
    systems, seeds = [], set()
    for system in tonight.systems:
        old = before.system(system.method, system.shots)
        if old is None:
            systems.append(system.label)
        else:
            seeds |= set(system.seeds) - set(old.seeds)
    categories = [name for name in tonight.categories if name not in before.categories]
    return [
        *systems,
        *(f"category {name}" for name in categories),
        *(f"seed {seed}" for seed in sorted(seeds)),
    ]


def figures(results: Results, system: System, pair: Pair, column: str, subset: str = TEST) -> Array:
    """A column of the metrics table as (categories, seeds) of the pair, float64; NaN where the
    trial has no pair or the figure is undefined.
    """
    values = np.full((len(pair.categories), len(pair.seeds)), np.nan)
    for category, seed in pair.places:
        trial = results.trials.get((system, category, seed))
        value = trial.rows.get(subset, {}).get(column) if trial else None
        if value is not None:
            values[pair.categories.index(category), pair.seeds.index(seed)] = value
    return values


def recorded(nights: Sequence[RecordedRun], pair: Pair, tonight: Results, column: str) -> Array:
    """The column on other nights as (nights, categories, seeds), float64: only trials that are the
    same as tonight's but for the code, NaN elsewhere.
    """
    values = np.full((len(nights), len(pair.categories), len(pair.seeds)), np.nan)
    for index, night in enumerate(nights):
        results = night.results
        old = results.system(pair.system.method, pair.system.shots)
        if old is not None:
            same = _same_places(tonight, results, pair, old)
            values[index] = figures(results, old, replace(pair, before=old, places=same), column)
    return values


def _same_places(
    tonight: Results, earlier: Results, pair: Pair, old: System
) -> frozenset[tuple[str, int]]:
    """The pair's places whose trial of an earlier night is the same."""
    there = [place for place in pair.places if (old, *place) in earlier.trials]
    return frozenset(
        place
        for place in there
        if _unlike(tonight, earlier, (pair.system, *place), (old, *place)) is None
    )
