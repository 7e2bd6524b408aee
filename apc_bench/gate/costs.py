"""Time and memory of the same trials on two nights: ratios, and how far they go by noise alone.
Judged on a logarithmic scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from apc_bench.gate.verdict import ALARMS, UNSEEN
from apc_bench.metrics.catalogue import COMPARED_COSTS
from apc_bench.results.pairing import Pair, figures, recorded
from apc_bench.results.recorded_runs import RecordedRun
from apc_bench.statistics.variance import EFFICIENCY, MAD, Array

SAME_MACHINE = ("processor", "cores", "gpus")


@dataclass(frozen=True, slots=True)
class Cost:
    """A system's cost: mean over the pairs before and after (seconds or MiB), and their `ratio`.

    `noise`: the ratio that noise alone reaches; `detectable`: the smallest true ratio that is found
    with 95 %; both None where too few nights are recorded.
    """

    system: str
    column: str
    before: float
    after: float
    pairs: int
    noise: float | None
    detectable: float | None
    slower: bool

    @property
    def ratio(self) -> float:
        return self.after / self.before


def other_machine(tonight: RecordedRun, before: RecordedRun) -> str | None:
    """Why times of two nights do not compare: another device, processor or number of threads. None
    where they do.
    """
    diff = before.info.diff(tonight.info)
    changes = {**diff.environment, **diff.computing}
    for name in (*SAME_MACHINE, "device", "threads"):
        if name in changes:
            old, new = changes[name]
            return f"another machine than the reference's: {name} {new}, was {old}"
    return None


def costs(
    tonight: RecordedRun,
    before: RecordedRun,
    nights: Sequence[RecordedRun],
    pairs: Sequence[Pair],
    factor: float | None,
) -> list[Cost]:
    """Every system's costs. `nights`: recorded nights on this machine, oldest first, the reference
    among them. `factor`: the ratio that is put up with; None: nothing counts as slower.
    """
    found = []
    for pair in pairs:
        for column in COMPARED_COSTS:
            new, old = (
                figures(tonight.results, pair.system, pair, column),
                figures(before.results, pair.before, pair, column),
            )
            both = np.isfinite(new) & np.isfinite(old) & (old > 0) & (new > 0)
            if both.any():
                found.append(
                    (
                        pair,
                        column,
                        new[both],
                        old[both],
                        _error(new, old, both, recorded(nights, pair, tonight.results, column)),
                    )
                )
    return [_cost(*one, factor=factor, tests=len(found)) for one in found]


def _error(new: Array, old: Array, both: NDArray[np.bool_], history: Array) -> tuple[float, int]:
    """The standard error of the log ratio with its degrees of freedom.

    From the totals of successive recorded nights, which a night's load moves as a whole; by the
    median, since one busy night must not blind the gate for a month. From the spread of tonight's
    pairs where fewer than four nights are recorded.
    """
    whole = history[np.isfinite(history[:, both]).all(-1)][:, both]
    if len(whole) >= 4:
        steps = np.diff(np.log(whole.sum(-1)))
        return MAD * float(np.median(np.abs(steps))), max(1, int(EFFICIENCY * len(steps)))
    ratios = np.log(new[both] / old[both])
    return (
        (float(ratios.std(ddof=1) / math.sqrt(len(ratios))), len(ratios) - 1)
        if len(ratios) > 1
        else (math.nan, 0)
    )


def _cost(
    pair: Pair,
    column: str,
    new: Array,
    old: Array,
    error: tuple[float, int],
    *,
    factor: float | None,
    tests: int,
) -> Cost:
    spread, freedom = error
    before, after = float(old.mean()), float(new.mean())
    if not freedom:
        return Cost(pair.system.label, column, before, after, len(new), None, None, False)
    noise = float(stats.t.isf(ALARMS / tests, freedom)) * spread
    limit = max(noise, math.log(factor or 1.0))
    detectable = limit + float(stats.t.isf(UNSEEN, freedom)) * spread
    slower = factor is not None and math.log(after / before) > limit
    return Cost(
        pair.system.label,
        column,
        before,
        after,
        len(new),
        float(np.exp(noise)),
        float(np.exp(detectable)),
        slower,
    )
