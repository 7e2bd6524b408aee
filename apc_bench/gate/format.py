"""What the gate says: a short text for a terminal, a chat or an issue, and one JSON object for
programs.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from apc_bench.errors import listed
from apc_bench.gate.costs import Cost
from apc_bench.gate.gate import DONE, REGRESSED, TOO_FEW_SEEDS, UNJUDGED, Gate
from apc_bench.gate.verdicts import REGRESSION, RISE, UNDERPOWERED, Unit
from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.results.pairing import Missing
from apc_bench.tables.number_format import percent, points
from apc_bench.wording import aligned, counted, printable

VERDICTS = {
    DONE: "no regression",
    REGRESSED: "REGRESSION",
    UNJUDGED: "could not be judged",
    TOO_FEW_SEEDS: "too few seeds for the tolerance asked",
}
SHOWN = 20
"""Lines of one kind; the rest is counted, and stands in the JSON."""


def as_lines(gate: Gate) -> list[str]:
    """The finding in about twenty lines, the verdict first. Control characters of names are shown
    as `?`.
    """
    lines = [f"apc-bench gate: {headline(gate)}", f"tonight  {gate.tonight.title}"]
    if gate.reference:
        lines.append(f"against  {gate.against}: {gate.reference.title}")
        if gate.why:
            lines.append(f"differs  {listed(gate.why)}")
    else:
        lines.append(f"against  {gate.against}")
        lines += [f"judged   {line}" for line in gate.why]
    if gate.noise:
        lines += [f"noise    {gate.noise}"]
    regressions = [*map(_unit_line, gate.of(REGRESSION)), *map(_cost_line, gate.slower)]
    lines += _first("REGRESSION", regressions)
    lines += _first("RISE", [*map(_unit_line, gate.of(RISE))])
    if gate.of(RISE) and gate.reference:
        lines += [
            "         a rise that the change of code does not explain is usually a leak of test"
            " images into training"
        ]
    lines += _first("UNJUDGED", [*gate.reasons, *_grouped(gate.missing)])
    lines += _first("TOO FEW SEEDS", [_underpowered_line(unit) for unit in gate.of(UNDERPOWERED)])
    lines += _first(
        "TOO FEW NIGHTS",
        [f"{_cost_line(cost)}, beyond the factor asked for" for cost in gate.blind_costs],
    )
    lines += [*_overview(gate), *_cost_lines(gate)]
    lines += _first(
        "not judged, in tonight's run only:", [listed(gate.extra)] if gate.extra else []
    )
    lines += _first("undefined on both nights:", [listed(gate.undefined)] if gate.undefined else [])
    lines += _first("passed over:", gate.aside)
    return printable(lines)


def headline(gate: Gate) -> str:
    """`REGRESSION: 2 of 64 figures` and what else a reader must not miss."""
    verdict = VERDICTS[gate.exit_code]
    if gate.exit_code == TOO_FEW_SEEDS and not gate.of(UNDERPOWERED):
        verdict = "too few nights for the factor asked"
    if gate.exit_code == REGRESSED:
        regressions = len(gate.of(REGRESSION)) + len(gate.slower)
        figures = counted(len(gate.units) + len(gate.costs), "figure")
        verdict += f": {regressions} of {figures}"
    parts = [verdict]
    rises = len(gate.of(RISE))
    if rises and gate.reference:
        parts.append(counted(rises, "unexplained rise"))
    elif rises:
        parts.append(counted(rises, "figure above", "figures above"))
    if gate.missing and gate.exit_code == REGRESSED:
        noun, plural = "trial or group of trials", "trials or groups of trials"
        parts.append(f"{counted(len(gate.missing), noun, plural)} not judged")
    return f"{' · '.join(parts)} (exit code {gate.exit_code})"


def _first(label: str, lines: Sequence[str]) -> list[str]:
    more = [f"{label} … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{label} {line}" for line in lines[:SHOWN]] + more


def place(unit: Unit) -> str:
    """`APC, 10 shots · AUROC_px · weave`."""
    return f"{unit.system} · {CATALOGUE[unit.metric].heading} · {where(unit)}"


def where(unit: Unit) -> str:
    """The category, or `mean over categories`, with how many they are where they are not all."""
    few = f"{unit.categories} of {unit.planned} " if unit.categories < unit.planned else ""
    return unit.category or f"mean over {few}categories"


def _unit_line(unit: Unit) -> str:
    noise = "unknown" if unit.noise is None else percent(unit.noise)
    return (
        f"{place(unit)}: {percent(unit.before)} → {percent(unit.after)} ({points(unit.change)};"
        f" tolerated {percent(unit.tolerance)}, noise reaches {noise};"
        f" {counted(unit.seeds, 'seed')})"
    )


def _underpowered_line(unit: Unit) -> str:
    if unit.noise is None:
        return (
            f"{place(unit)}: {points(unit.change)}, and one seed shows no noise; use at least 3"
            " seeds"
        )
    seeds = f"about {unit.needed} seeds" if unit.needed else "more than 200 seeds"
    reach = f"noise reaches {percent(unit.noise)}, beyond the tolerated {percent(unit.tolerance)}"
    return f"{place(unit)}: {reach}, with {counted(unit.seeds, 'seed')}; {seeds} would do"


def _overview(gate: Gate) -> list[str]:
    """One row for each system and metric: the mean, its change, and the smallest drops that would
    have been found.
    """
    rows = []
    for system, metric in dict.fromkeys((unit.system, unit.metric) for unit in gate.units):
        units = [unit for unit in gate.units if (unit.system, unit.metric) == (system, metric)]
        whole = next((unit for unit in units if unit.category is None), units[0])
        single = [unit for unit in units if unit.category is not None]
        known = [unit for unit in single if unit.detectable is not None]
        worst = max(known, key=lambda unit: unit.detectable or 0.0, default=None)
        found = (
            _points(whole.detectable),
            (_points(worst.detectable) + f" ({worst.category})" if worst else "unknown"),
        )
        few = f" ({whole.categories}/{whole.planned})" if whole.categories < whole.planned else ""
        rows.append(
            (
                system,
                CATALOGUE[metric].heading,
                percent(whole.after) + few,
                points(whole.change),
                *found,
            )
        )
    if not rows:
        return []
    heads = (
        "",
        "",
        "mean",
        "change",
        "smallest drop found in 95 %: of the mean",
        "of the noisiest category",
    )
    return ["", *aligned([heads, *rows], (False, False, True, True, True, True))]


def _cost_lines(gate: Gate) -> list[str]:
    if not gate.costs:
        return []
    heads = ("", "", "before", "now", "ratio", "found in 95 %")
    rows = [
        (
            cost.system,
            CATALOGUE[cost.column].label,
            _amount(cost, cost.before),
            _amount(cost, cost.after),
            f"{cost.ratio:.2f} ×",
            _factor(cost.detectable),
        )
        for cost in gate.costs
    ]
    return ["", *aligned([heads, *rows], (False, False, True, True, True, True))]


def _cost_line(cost: Cost) -> str:
    change = (
        f"{_amount(cost, cost.before)} → {_amount(cost, cost.after)} ({cost.ratio:.2f} ×; noise"
        f" reaches {_factor(cost.noise)})"
    )
    return f"{cost.system} · {CATALOGUE[cost.column].label}: {change}"


def _amount(cost: Cost, value: float) -> str:
    return f"{value:.0f} MiB" if cost.column.endswith("mib") else f"{value:.3g} s"


def _factor(ratio: float | None) -> str:
    return "–" if ratio is None or ratio > 100 else f"{ratio:.2f} ×"


def _points(fraction: float | None) -> str:
    return "unknown" if fraction is None else percent(fraction) if fraction < 1 else "> 100"


def _grouped(missing: Iterable[Missing]) -> list[str]:
    """Missing trials by reason, each with its places."""
    reasons: dict[str, list[str]] = {}
    for trial in missing:
        place = [part for part in (trial.system, trial.category) if part]
        if trial.seed is not None:
            place.append(f"seed {trial.seed}")
        places = reasons.setdefault(trial.reason, [])
        if place:
            places.append(" · ".join(place))
    return [f"{listed(places, 6) or 'the run'}: {reason}" for reason, places in reasons.items()]


def as_object(gate: Gate) -> dict[str, Any]:
    """The whole finding as JSON values: fractions of 1, seconds, MiB; nothing is shortened."""
    reference = gate.reference
    return {
        "exit_code": gate.exit_code,
        "verdict": headline(gate),
        "tonight": {
            "run": str(gate.tonight.path),
            "created": gate.tonight.created,
            "revision": gate.tonight.revision,
        },
        "against": gate.against,
        "reference": (
            {
                "run": str(reference.path),
                "created": reference.created,
                "revision": reference.revision,
            }
            if reference
            else None
        ),
        "noise": gate.noise,
        "differs": list(gate.why),
        "units": [dataclasses.asdict(unit) for unit in gate.units],
        "costs": [{**dataclasses.asdict(cost), "ratio": cost.ratio} for cost in gate.costs],
        "missing": [dataclasses.asdict(missing) for missing in gate.missing],
        "unjudged": list(gate.reasons),
        "only_tonight": list(gate.extra),
        "undefined": list(gate.undefined),
        "passed_over": list(gate.aside),
    }
