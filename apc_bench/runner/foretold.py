"""How long each step of a long sweep takes on this machine, measured before its start, in a process
of its own: the driver loads no torch, and a GPU's memory is free again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from operator import itemgetter

from apc_bench.errors import ApcError, ResourceError
from apc_bench.files.processes import ANEW
from apc_bench.plan import Step
from apc_bench.runner.estimate import Estimate, estimate, steps_at_once
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import Prepared
from apc_bench.wording import duration

LONG = {"cpu": 3e13, "cuda": 3e15}
"""Multiply-accumulates of one slot's steps from which on a sweep is long, about twenty minutes: a
shorter one soon knows by itself.
"""

A_WAIT = 1800.0
"""Seconds of a sweep from which on it is worth saying what takes most of them."""


def foretold(
    prepared: Prepared, left: Sequence[Step], execution: Execution, say: Callable[[str], None]
) -> dict[str, float] | None:
    """Seconds of each step that is left, by its result_key; None for a sweep that is not long, or
    where it cannot be said, which is told.
    """
    sweep = prepared.sweep
    share = min(steps_at_once(sweep, execution), max(1, len(left)))
    if sum(step.macs for step in left) / share < LONG[sweep.device]:
        return None
    say("measuring one step of each kind on this machine, to tell the time …")
    try:
        told = estimate_apart(prepared, left, execution)
    except ApcError as error:
        say(f"no estimate of time before the start: {error}")
        return None
    seconds = {key: spent for key, spent in told.steps.items() if spent is not None}
    if len(seconds) < len(left):
        return None
    say(f"about {duration(told.seconds)} on this machine; --dry-run tells it by system")
    for line in longest(prepared, left, told):
        say(line)
    return seconds


def longest(prepared: Prepared, left: Sequence[Step], told: Estimate) -> Iterator[str]:
    """Of a sweep that lasts: the method that takes more than half of it, and how to leave it
    out.
    """
    by_method: dict[str, float] = defaultdict(float)
    for step in left:
        by_method[step.method] += told.steps[step.result_key] or 0.0
    name, spent = max(by_method.items(), key=itemgetter(1))
    methods = prepared.sweep.chosen
    others = [other for other in methods if other != name]
    if told.seconds < A_WAIT or spent <= sum(by_method.values()) / 2 or not others:
        return
    yield (
        f"{methods[name].title or name} takes {duration(spent / told.at_once)} of it; --methods"
        f" {','.join(others)} leaves it out"
    )


def estimate_apart(prepared: Prepared, left: Sequence[Step], execution: Execution) -> Estimate:
    """What `estimate` returns, in another process. Raises what it raises, and ResourceError where
    that process dies.
    """
    try:
        with ProcessPoolExecutor(1, ANEW) as pool:
            return pool.submit(estimate, prepared, left, execution).result()
    except BrokenProcessPool:
        raise ResourceError("the process that measures it was killed") from None
