"""The gate: tonight's run against a recorded one, with a verdict for every metric, category and mean, and an exit code (DESIGN.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apc_bench.gate.costs import Cost, costs, other_machine
from apc_bench.gate.nights import Night, read_night, read_nights
from apc_bench.gate.pairing import Missing, pair_up
from apc_bench.gate.units import BLIND, REGRESSION, Asked, Family, Unit
from apc_bench.store.run import INFO

DONE, REGRESSED, UNJUDGED, TOO_FEW_SEEDS = 0, 1, 3, 4
NIGHTS_MAX = 30
"""Recorded nights that are read for the noise, the newest."""


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """The gate's whole finding. `noise`: in words, where it is taken from; `why`: what differs between the two nights; `aside`: recorded runs that were
    passed over, with reasons; `undefined`: metrics that neither night has; `extra`: what only tonight's run has."""

    tonight: Night
    against: str
    asked: Asked
    reference: Night | None = None
    units: tuple[Unit, ...] = ()
    costs: tuple[Cost, ...] = ()
    missing: tuple[Missing, ...] = ()
    noise: str = ""
    why: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def of(self, verdict: str) -> list[Unit]:
        return [unit for unit in self.units if unit.verdict == verdict]

    @property
    def slower(self) -> list[Cost]:
        return [cost for cost in self.costs if cost.slower]

    @property
    def exit_code(self) -> int:
        """1: a regression, whatever else; 3: something could not be judged; 4: too few seeds for the tolerance asked; 0."""
        if self.of(REGRESSION) or self.slower:
            return REGRESSED
        if self.missing or self.reasons or not self.units:
            return UNJUDGED
        blind_cost = self.asked.slower is not None and any(cost.noise is None or cost.noise > self.asked.slower for cost in self.costs)
        return TOO_FEW_SEEDS if self.of(BLIND) or blind_cost else DONE


def run_gate(run: Path, against: Path, asked: Asked) -> Gate:
    """Judges a run. `against`: a run folder, or a folder of them, of which the newest complete one that is older than `run` is the reference.

    Raises UsageError, RunError, DamagedFile.
    """
    tonight = read_night(run)
    if (against / INFO).is_file():
        return _judge(tonight, read_night(against), [], str(against), asked, ())
    nights, aside = read_nights(against, newest=NIGHTS_MAX, before=tonight)
    whole = [night for night in nights if not night.missing]
    aside += [f"{night.name}: planned trials without a result: {night.missing}" for night in nights if night.missing]
    if not whole:
        first = "there is no recorded run to judge against yet" if not nights else "no recorded run is complete"
        reason = f"{first} in {against}; a first night becomes the reference"
        return Gate(tonight, str(against), asked, aside=tuple(aside), reasons=(reason,))
    return _judge(tonight, whole[-1], nights, f"{against}, newest of {len(whole)}", asked, tuple(aside))


def _judge(tonight: Night, reference: Night, nights: Sequence[Night], against: str, asked: Asked, aside: tuple[str, ...]) -> Gate:
    pairs, missing, extra = pair_up(tonight.results, reference.results)
    missing += [Missing("", None, None, f"damaged tonight: {line}") for line in tonight.results.damaged]
    family = [Family(tonight, reference, nights, pair, metric) for pair in pairs if pair.places for metric in asked.metrics]
    undefined = [f"{one.pair.system.label} {one.metric}" for one in family if one.undefined]
    missing += [lost for one in family for lost in one.lost]
    judged = [one for one in family if one.pairs.any()]
    tests = sum(one.tests for one in judged)
    units = [unit for one in judged for unit in one.units(asked, tests)]
    machine = other_machine(tonight, reference)
    reasons = [machine] if machine and asked.slower is not None else []
    same = [night for night in nights if other_machine(tonight, night) is None]
    found = [] if machine else costs(tonight, reference, same, pairs, asked.slower)
    noise = "; ".join(dict.fromkeys(one.origin.words for one in judged))
    if not units and not missing:
        reasons.append("no pair of trials has a metric that was asked for")
    why = what_differs(tonight, reference)
    return Gate(
        tonight,
        against,
        asked,
        reference,
        tuple(units),
        tuple(found),
        tuple(missing),
        noise,
        why,
        aside,
        tuple(extra),
        tuple(undefined),
        tuple(reasons),
    )


def what_differs(tonight: Night, reference: Night) -> tuple[str, ...]:
    """What may explain a change: code, versions of what computes, weights, hardware."""
    lines = [f"code {reference.revision} → {tonight.revision}"] if tonight.revision != reference.revision else []
    for where in ("computing", "environment"):
        new, old = tonight.info.get(where, {}), reference.info.get(where, {})
        names = sorted({*new, *old} - {"git", "command", "hostname", "platform", "apc_bench"})
        lines += [f"{name} {old.get(name)} → {new.get(name)}" for name in names if new.get(name) != old.get(name)]
    new, old = tonight.info.get("weights", {}), reference.info.get("weights", {})
    lines += [f"weights of {name}" for name in sorted({*new} & {*old}) if new[name].get("sha256") != old[name].get("sha256")]
    return tuple(lines)
