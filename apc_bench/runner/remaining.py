"""How long the steps that are left will take, from what those of the same kind took."""

import math
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apc_bench.plan import Step

TOLD_FROM = 0.05
"""Share of its training from which on a running step tells how long it will be: the first steps are
slower than the others.
"""

LEAST = 1e9
"""Multiply-accumulates that are expected of a step at least: a training may count none."""

RECENT, FEW = 8, 3
"""Of a kind's steps the last RECENT count, since a machine's other work comes and goes; while there
are fewer than FEW, the fastest alone: the first steps of a process set things up.
"""

GUESSED = 0.5
"""Of the work that is left, how much may be of kinds that have told nothing yet: arithmetic alone
is wrong by a factor of ten.
"""

OVERDUE = 0.1
"""Share of its time that a step is said to need still when that is over already."""


@dataclass(frozen=True, slots=True)
class Ongoing:
    """A step that has run for `seconds`; `share`: of its training that is done, None where it does
    not say.
    """

    step: Step
    seconds: float
    share: float | None = None

    @property
    def in_all(self) -> float | None:
        """The seconds that it will have taken at its end, as far as it tells."""
        if self.share is None or self.share < TOLD_FROM:
            return None
        return self.seconds / self.share


@dataclass(slots=True)
class _Group:
    """Steps of one method and kind: what is expected of those that are left, and what the last ones
    that ended took of what was expected of them.
    """

    left: float = 0.0
    ratios: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def ratio(self) -> float:
        """What the next one will take of what is expected of it."""
        few = len(self.ratios) < FEW
        return min(self.ratios) if few else statistics.median(self.ratios)


class Remaining:
    """Told of steps that end. A step is taken to be as long as was `expected` of it (seconds by
    result_key; None: its arithmetic, which orders them and no more), times what its method's steps
    of the kind took of that so far.
    """

    def __init__(self, steps: Sequence[Step], expected: Mapping[str, float] | None = None) -> None:
        self._in_seconds = expected is not None
        self._expected = expected or {step.result_key: max(step.macs, LEAST) for step in steps}
        self._groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
        for step in steps:
            self._group(step).left += self._of(step)
        self._known = self._taken = self._busy = 0.0
        self._began = math.inf

    def began(self) -> None:
        """A step begins now."""
        self._began = min(self._began, time.monotonic())

    def ended(self, step: Step, seconds: float | None, loading: float = 0.0) -> None:
        """A step has ended after so many seconds, of which `loading` went by once for its process;
        None or 0: it was not done now, which tells nothing.
        """
        group, expected = self._group(step), self._of(step)
        group.left = max(0.0, group.left - expected)
        if seconds:
            group.ratios.append((seconds - loading) / expected)
            self._known += expected
            self._taken += seconds - loading
            self._busy += seconds

    def seconds(self, running: Iterable[Ongoing] = ()) -> float | None:
        """Until all steps have ended, if as many run at a time as did so far; None while too
        little tells how long steps take.
        """
        running = list(running)
        ratios, overall = self._ratios(running)
        if overall is None:
            return None
        work = sum(group.left * ratios.get(key, overall) for key, group in self._groups.items())
        guessed = sum(group.left for key, group in self._groups.items() if key not in ratios)
        if not self._in_seconds and guessed * overall > GUESSED * work:
            return None
        longest = 0.0
        for one in running:
            whole = one.in_all or self._of(one.step) * ratios.get(_key(one.step), overall)
            left = max(whole - one.seconds, OVERDUE * whole)
            work += left - self._of(one.step) * ratios.get(_key(one.step), overall)
            longest = max(longest, left)
        return max(work / self._at_once(running), longest)

    def _ratios(
        self, running: Sequence[Ongoing]
    ) -> tuple[dict[tuple[str, str], float], float | None]:
        """What steps took of what was expected, by group where any tells, and of all together."""
        told = defaultdict(list)
        known, taken = self._known, self._taken
        for one in running:
            if (whole := one.in_all) is not None:
                told[_key(one.step)].append(whole / self._of(one.step))
                known, taken = known + self._of(one.step), taken + whole
        ratios = {key: statistics.median(group) for key, group in told.items()}
        for key, group in self._groups.items():
            if group.ratios:
                ratios[key] = group.ratio
        if known:
            return ratios, taken / known
        return ratios, 1.0 if self._in_seconds else None

    def _at_once(self, running: Sequence[Ongoing]) -> float:
        """Steps at a time, on the average of the sweep so far."""
        busy = self._busy + sum(one.seconds for one in running)
        passed = time.monotonic() - self._began
        return busy / passed if busy > 0 and passed > 0 else max(1, len(running))

    def _group(self, step: Step) -> _Group:
        return self._groups[_key(step)]

    def _of(self, step: Step) -> float:
        return self._expected[step.result_key]


def _key(step: Step) -> tuple[str, str]:
    return step.kind, step.method
