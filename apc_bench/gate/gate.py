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
from apc_bench.gate.published_reference import choose, printed_families
from apc_bench.gate.verdicts import REGRESSION, UNDERPOWERED, Asked, Family, Unit
from apc_bench.results.pairing import Missing, pair_up
from apc_bench.results.recorded_runs import RecordedRun, read_recorded_run, read_recorded_runs
from apc_bench.store.info import is_run

DONE, REGRESSED, UNJUDGED, TOO_FEW_SEEDS = 0, 1, 3, 4
NIGHTS_MAX = 30
"""Recorded nights that are read for the noise, the newest."""

NO_CAUSE = {"git", "command", "hostname", "platform", "apc_bench", "usable"}
"""Of the recorded environment: what explains no change of a number, or is told as the code."""


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
        """The figures with this verdict."""
        return [unit for unit in self.units if unit.verdict == verdict]

    @property
    def slower(self) -> list[Cost]:
        """Costs that regressed."""
        return [cost for cost in self.costs if cost.slower]

    @property
    def blind_costs(self) -> list[Cost]:
        """Costs whose noise reaches further than the factor that was asked for."""
        factor = self.asked.slower
        if factor is None:
            return []
        return [cost for cost in self.costs if cost.noise is None or cost.noise > factor]

    @property
    def exit_code(self) -> int:
        """1: a regression, whatever else; 3: something could not be judged; 4: too few seeds for
        the tolerance asked; 0.
        """
        if self.of(REGRESSION) or self.slower:
            return REGRESSED
        if self.missing or self.reasons or not self.units:
            return UNJUDGED
        return TOO_FEW_SEEDS if self.of(UNDERPOWERED) or self.blind_costs else DONE


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
    if path.is_dir():
        return _against_nights(tonight, path, asked)
    return _against_side(tonight, read_side(against), asked)


def _against_nights(tonight: RecordedRun, folder: Path, asked: Asked) -> Gate:
    nights, aside = read_recorded_runs(folder, newest=NIGHTS_MAX, before=tonight)
    whole = []
    for night in nights:
        if night.missing:
            aside.append(f"{night.name}: planned trials without a result: {night.missing}")
        else:
            whole.append(night)
    if whole:
        against = f"{folder}, newest of {len(whole)}"
        return _against_night(tonight, whole[-1], nights, against, asked, aside)
    reason = "no recorded run is complete"
    if not nights:
        reason = "there is no recorded run to judge against yet"
    reason += f" in {folder}; a first night becomes the reference"
    return Gate(tonight, str(folder), asked, aside=tuple(aside), reasons=(reason,))


def _against_night(
    tonight: RecordedRun,
    reference: RecordedRun,
    nights: Sequence[RecordedRun],
    against: str,
    asked: Asked,
    aside: Sequence[str],
) -> Gate:
    pairs, missing, extra = pair_up(tonight.results, reference.results)
    families: list[Family] = []
    for pair in pairs:
        if pair.places:
            families += [
                Family.of_nights(tonight, reference, nights, pair, metric)
                for metric in asked.metrics
            ]
    gate = Gate(
        tonight,
        against,
        asked,
        reference,
        missing=tuple(missing),
        why=what_differs(tonight, reference),
        aside=tuple(aside),
        extra=tuple(extra),
    )
    machine = other_machine(tonight, reference)
    if machine is None:
        same = [night for night in nights if other_machine(tonight, night) is None]
        gate = replace(gate, costs=tuple(costs(tonight, reference, same, pairs, asked.slower)))
    elif asked.slower is not None:
        gate = replace(gate, reasons=(machine,))
    return _judged(gate, families)


def _against_side(tonight: RecordedRun, side: Side, asked: Asked) -> Gate:
    reasons = []
    if asked.slower is not None:
        reasons.append(f"{side.name} has no times that compare")
    if side.dataset and side.dataset != tonight.results.dataset:
        reasons.append(
            f"{side.name} is of the dataset {side.dataset}, the run of {tonight.results.dataset}"
        )
        return Gate(tonight, side.name, asked, reasons=tuple(reasons))
    chosen, unclear = choose(tonight, side, asked.pairs)
    families, missing, notes = printed_families(tonight, side, chosen, asked.metrics)
    gate = Gate(
        tonight,
        side.name,
        asked,
        missing=tuple(missing),
        why=tuple(notes),
        reasons=(*reasons, *unclear),
    )
    return _judged(gate, families)


def _judged(gate: Gate, families: Sequence[Family]) -> Gate:
    """The gate with the verdicts of all figures, which share the rate of false alarms."""
    with_pairs = [family for family in families if family.pairs.any()]
    tests = sum(family.tests for family in with_pairs)
    units: list[Unit] = []
    for family in with_pairs:
        units += family.units(gate.asked, tests)
    missing = list(gate.missing)
    missing += [
        Missing("", None, None, f"damaged tonight: {line}") for line in gate.tonight.results.damaged
    ]
    undefined = []
    for family in families:
        missing += family.lost
        if family.undefined:
            undefined.append(f"{family.pair.system.label} {family.metric}")
    reasons = gate.reasons
    if not with_pairs and not missing and not reasons:
        reasons = ("no pair of trials has a metric that was asked for",)
    return replace(
        gate,
        units=tuple(units),
        noise="; ".join(dict.fromkeys(family.origin.words for family in with_pairs)),
        missing=tuple(missing),
        undefined=tuple(undefined),
        reasons=reasons,
    )


def what_differs(tonight: RecordedRun, reference: RecordedRun) -> tuple[str, ...]:
    """What may explain a change: code, versions of what computes, weights, hardware."""
    lines = []
    if tonight.revision != reference.revision:
        lines.append(f"code {reference.revision} → {tonight.revision}")
    diff = reference.info.diff(tonight.info)
    for changes in (diff.computing, diff.environment):
        for name, (old, new) in sorted(changes.items()):
            if name not in NO_CAUSE:
                lines.append(f"{name} {old} → {new}")
    lines += [f"weights of {name}" for name in sorted(diff.weights)]
    return tuple(lines)
