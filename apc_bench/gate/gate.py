"""The gate: tonight's run against a recorded one, with a verdict for every metric, category and
mean, and an exit code (docs/architecture.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apc_bench.compare.record import Side
from apc_bench.compare.sources import read_side
from apc_bench.errors import UsageError
from apc_bench.gate.costs import Cost, costs, other_machine
from apc_bench.gate.published_reference import choose, families
from apc_bench.gate.verdicts import BLIND, REGRESSION, Asked, Family, Unit
from apc_bench.results.pairing import Missing, pair_up
from apc_bench.results.recorded_runs import RecordedRun, read_recorded_run, read_recorded_runs
from apc_bench.store.info import is_run

DONE, REGRESSED, UNJUDGED, TOO_FEW_SEEDS = 0, 1, 3, 4
NIGHTS_MAX = 30
NO_CAUSE = {"git", "command", "hostname", "platform", "apc_bench"}
"""Of the recorded environment: what explains no change of a number, or is told as the code."""

"""Recorded nights that are read for the noise, the newest."""


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """The gate's whole finding. `noise`: in words, where it is taken from; `why`: what differs
    between the two nights; `aside`: recorded runs that were passed over, with reasons; `undefined`:
    metrics that neither night has; `extra`: what only tonight's run has.
    """

    tonight: RecordedRun
    against: str
    asked: Asked
    reference: RecordedRun | None = None
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
    def blind_costs(self) -> list[Cost]:
        """Costs whose noise reaches further than the factor that was asked for."""
        factor = self.asked.slower
        return [
            cost
            for cost in self.costs
            if factor is not None and (cost.noise is None or cost.noise > factor)
        ]

    @property
    def exit_code(self) -> int:
        """1: a regression, whatever else; 3: something could not be judged; 4: too few seeds for
        the tolerance asked; 0.
        """
        if self.of(REGRESSION) or self.slower:
            return REGRESSED
        if self.missing or self.reasons or not self.units:
            return UNJUDGED
        return TOO_FEW_SEEDS if self.of(BLIND) or self.blind_costs else DONE


def run_gate(run: Path, against: str, asked: Asked) -> Gate:
    """Judges a run. `against`: a run folder; a folder of them, of which the newest whole one that
    began before `run` is the reference; published figures by name, or another tool's table
    (compare/sources.py).

    Raises UsageError, RunError, DamagedFile.
    """
    tonight, path = read_recorded_run(run), Path(against)
    if is_run(path):
        if path.resolve() == run.resolve():
            raise UsageError(
                f"{against} is the run that is to be judged; name another with --against"
            )
        return _against_night(tonight, read_recorded_run(path), [], against, asked, [])
    return (
        _against_nights(tonight, path, asked)
        if path.is_dir()
        else _against_side(tonight, read_side(against), asked)
    )


def _against_nights(tonight: RecordedRun, folder: Path, asked: Asked) -> Gate:
    nights, aside = read_recorded_runs(folder, newest=NIGHTS_MAX, before=tonight)
    whole = [night for night in nights if not night.missing]
    aside += [
        f"{night.name}: planned trials without a result: {night.missing}"
        for night in nights
        if night.missing
    ]
    if not whole:
        first = (
            "there is no recorded run to judge against yet"
            if not nights
            else "no recorded run is complete"
        )
        reason = f"{first} in {folder}; a first night becomes the reference"
        return Gate(tonight, str(folder), asked, aside=tuple(aside), reasons=(reason,))
    return _against_night(
        tonight, whole[-1], nights, f"{folder}, newest of {len(whole)}", asked, aside
    )


def _against_night(
    tonight: RecordedRun,
    reference: RecordedRun,
    nights: Sequence[RecordedRun],
    against: str,
    asked: Asked,
    aside: Sequence[str],
) -> Gate:
    pairs, missing, extra = pair_up(tonight.results, reference.results)
    family = [
        Family.of_nights(tonight, reference, nights, pair, metric)
        for pair in pairs
        if pair.places
        for metric in asked.metrics
    ]
    machine = other_machine(tonight, reference)
    same = [night for night in nights if other_machine(tonight, night) is None]
    gate = Gate(
        tonight,
        against,
        asked,
        reference,
        costs=() if machine else tuple(costs(tonight, reference, same, pairs, asked.slower)),
        missing=tuple(missing),
        why=what_differs(tonight, reference),
        aside=tuple(aside),
        extra=tuple(extra),
        reasons=(machine,) if machine and asked.slower is not None else (),
    )
    return _judged(gate, family)


def _against_side(tonight: RecordedRun, side: Side, asked: Asked) -> Gate:
    reasons = [f"{side.name} has no times that compare"] if asked.slower is not None else []
    if side.dataset and side.dataset != tonight.results.dataset:
        other = (
            f"{side.name} is of the dataset {side.dataset}, the run of {tonight.results.dataset}"
        )
        return Gate(tonight, side.name, asked, reasons=(*reasons, other))
    chosen, unclear = choose(tonight, side, asked.pairs)
    family, missing, notes = families(tonight, side, chosen, asked.metrics)
    return _judged(
        Gate(
            tonight,
            side.name,
            asked,
            missing=tuple(missing),
            why=tuple(notes),
            reasons=(*reasons, *unclear),
        ),
        family,
    )


def _judged(gate: Gate, family: Sequence[Family]) -> Gate:
    """The gate with the verdicts of all figures, which share the rate of false alarms."""
    judged = [one for one in family if one.pairs.any()]
    tests = sum(one.tests for one in judged)
    damaged = [
        Missing("", None, None, f"damaged tonight: {line}") for line in gate.tonight.results.damaged
    ]
    missing = (*gate.missing, *damaged, *(lost for one in family for lost in one.lost))
    nothing = (
        ()
        if judged or missing or gate.reasons
        else ("no pair of trials has a metric that was asked for",)
    )
    return replace(
        gate,
        units=tuple(unit for one in judged for unit in one.units(gate.asked, tests)),
        noise="; ".join(dict.fromkeys(one.origin.words for one in judged)),
        missing=missing,
        undefined=tuple(f"{one.pair.system.label} {one.metric}" for one in family if one.undefined),
        reasons=(*gate.reasons, *nothing),
    )


def what_differs(tonight: RecordedRun, reference: RecordedRun) -> tuple[str, ...]:
    """What may explain a change: code, versions of what computes, weights, hardware."""
    lines = (
        [f"code {reference.revision} → {tonight.revision}"]
        if tonight.revision != reference.revision
        else []
    )
    diff = reference.info.diff(tonight.info)
    for changes in (diff.computing, diff.environment):
        lines += [
            f"{name} {old} → {new}"
            for name, (old, new) in sorted(changes.items())
            if name not in NO_CAUSE
        ]
    lines += [f"weights of {name}" for name in sorted(diff.weights)]
    return tuple(lines)
