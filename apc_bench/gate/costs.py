"""Time and memory of the same trials on two nights: ratios, and how far they go by noise alone.
Judged on a logarithmic scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

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
        """After by before; above 1 is slower or larger."""
        return self.after / self.before


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """A system's cost before anything is decided: `new`, `old` (pairs,); `error`: the standard
    error of the log ratio, with `freedom` degrees; 0: unknown.
    """

    system: str
    column: str
    new: Array
    old: Array
    error: float
    freedom: int


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
    measured = []
    for pair in pairs:
        for column in COMPARED_COSTS:
            new = figures(tonight.results, pair.system, pair, column)
            old = figures(before.results, pair.before, pair, column)
            both = np.isfinite(new) & np.isfinite(old) & (old > 0) & (new > 0)
            if both.any():
                history = recorded(nights, pair, tonight.results, column)[:, both]
                error, freedom = _error(new[both], old[both], history)
                label = pair.system.label
                measured.append(_Measured(label, column, new[both], old[both], error, freedom))
    return [_cost(cost, factor, tests=len(measured)) for cost in measured]


def _error(new: Array, old: Array, history: Array) -> tuple[float, int]:
    """The standard error of the log ratio with its degrees of freedom. `new`, `old`: (pairs,);
    `history`: (nights, pairs), NaN where a night lacks one.

    From the totals of successive recorded nights, which a night's load moves as a whole; by the
    median, since one busy night must not blind the gate for a month. From the spread of tonight's
    pairs where fewer than four nights are recorded.
    """
    whole = history[np.isfinite(history).all(-1)]
    if len(whole) >= 4:
        steps = np.diff(np.log(whole.sum(-1)))
        return MAD * float(np.median(np.abs(steps))), max(1, int(EFFICIENCY * len(steps)))
    if len(new) == 1:
        return math.nan, 0
    ratios = np.log(new / old)
    return float(ratios.std(ddof=1) / math.sqrt(len(ratios))), len(ratios) - 1


def _cost(measured: _Measured, factor: float | None, tests: int) -> Cost:
    """`factor`: as in `costs`; `tests`: how many costs share the rate of false alarms."""
    cost = Cost(
        system=measured.system,
        column=measured.column,
        before=float(measured.old.mean()),
        after=float(measured.new.mean()),
        pairs=len(measured.new),
        noise=None,
        detectable=None,
        slower=False,
    )
    if not measured.freedom:
        return cost
    noise = float(scipy.stats.t.isf(ALARMS / tests, measured.freedom)) * measured.error
    limit = max(noise, math.log(factor or 1.0))
    detectable = limit + float(scipy.stats.t.isf(UNSEEN, measured.freedom)) * measured.error
    return replace(
        cost,
        noise=float(np.exp(noise)),
        detectable=float(np.exp(detectable)),
        slower=factor is not None and math.log(cost.ratio) > limit,
    )
