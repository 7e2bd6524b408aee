"""The driver's loop: hands out steps as slots become free, tries again what was lost, and stops
when it is asked to.
"""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apc_bench.plan import Step
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome

ATTEMPTS = 3
"""Workers lost in the midst of one step after which it is taken to be the reason."""

MOVES = 20
"""Nodes lost, and workers before they began the step: none is its fault, but it must end."""

POLL = 0.5
CALLS_PER_WORKER = 64
LOOK_EVERY = 10.0

Work = Callable[[Step], Outcome]
Lost = Callable[[Step, str], Outcome | bool]
"""Told of every loss of a step's worker, with the cause; an outcome ends the step, else: whether
the worker had begun it.
"""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the steps of a sweep may use: `cpus` cores each and, by kind of step, `gpus` (fractions
    are fine).

    `workers`: steps at a time, None for as many as fit. `address`: of a Ray cluster, None for a
    private Ray of this machine. `scale_up`: the cluster brings nodes when steps wait for them, so
    `workers` are asked for whatever fits now.
    """

    cpus: int
    gpus: Mapping[str, float]
    workers: int | None = None
    address: str | None = None
    scale_up: bool = False


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step on its way, with what it asks for, and how often its worker, its node and memory
    failed it.
    """

    step: Step
    cpus: float
    gpus: float
    losses: int = 0
    moves: int = 0
    starved: bool = False
    submitted: float = 0.0


class Scheduler:
    """Steps through Ray's tasks. `ray` is the connected module. Ray's own retries are off: it would
    retry without limit what cannot succeed.
    """

    def __init__(
        self,
        ray: Any,
        ready: StepQueue,
        work: Work,
        resources: Resources,
        stop: StopSignals,
        lost: Lost,
    ) -> None:
        self.ray, self.ready, self.resources, self.stop, self.lost = (
            ray,
            ready,
            resources,
            stop,
            lost,
        )
        # max_calls keeps a GPU worker alive over many steps: importing torch costs more than most
        # steps.
        self.remote = ray.remote(max_retries=0, max_calls=CALLS_PER_WORKER)(_call)
        self.work = ray.put(work)
        self.flying: dict[Any, _Flight] = {}
        self.again: list[_Flight] = []
        self.last: deque[_Flight] = deque()
        self.looked, self.slots = -math.inf, 1

    def outcomes(self) -> Iterator[tuple[Step, Outcome]]:
        """Each step's outcome as it comes. Raises KeyboardInterrupt at the end of a sweep that was
        asked to stop.
        """
        while True:
            self._fill()
            if not self.flying or self.stop.at_once(len(self.flying)):
                break
            done, _ = self.ray.wait(list(self.flying), num_returns=1, timeout=POLL)
            for reference in done:
                flight = self.flying.pop(reference)
                outcome = self._outcome(reference, flight)
                if outcome is not None:
                    yield from self.ready.finish(flight.step, outcome)
        if self.stop.asked:
            raise KeyboardInterrupt

    def _fill(self) -> None:
        """Hands out steps up to the slots: more would wait in Ray's queue, and start after a
        request to stop.
        """
        while not self.stop.asked and len(self.flying) < self._slots():
            flight = self._next()
            if flight is None:
                return
            # Ray keeps counters for each name that it ever saw, 10 KB apiece: so the kind, and not
            # the step's own.
            options = {"num_cpus": flight.cpus, "num_gpus": flight.gpus, "name": flight.step.kind}
            reference = self.remote.options(**options).remote(self.work, flight.step)
            self.flying[reference] = dataclasses.replace(flight, submitted=time.monotonic())

    def _next(self) -> _Flight | None:
        """What was lost once goes first, as the plan wants it; what was lost again goes last, so
        that the suspects hold up nobody else.
        """
        if self.again:
            return self.again.pop()
        if (step := self.ready.pop()) is not None:
            return _Flight(step, self.resources.cpus, self.resources.gpus[step.kind])
        return self.last.popleft() if self.last else None

    def _slots(self) -> int:
        """Steps that fit the machines there are now; looked up now and then, since a cluster grows
        and shrinks.
        """
        if self.resources.scale_up:
            return self.resources.workers or 1
        if time.monotonic() - self.looked > LOOK_EVERY:
            there = self.ray.cluster_resources()
            fits = int(there.get("CPU", 0) // self.resources.cpus)
            least = min(self.resources.gpus.values())
            if least:
                fits = min(fits, int(there.get("GPU", 0) / least + 1e-6))
            self.slots = max(1, min(fits, self.resources.workers or fits))
            self.looked = time.monotonic()
        return self.slots

    def _outcome(self, reference: Any, flight: _Flight) -> Outcome | None:
        """How a step ended; None where it is tried again."""
        errors = self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(reference)
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
        ) as error:
            return self._lost(flight, error)
        if outcome.wants_whole_gpu and 0 < flight.gpus < 1:
            self.again.append(dataclasses.replace(flight, gpus=1.0))
            return None
        return outcome

    def _lost(self, flight: _Flight, error: Exception) -> Outcome | None:
        cause = _cause(error)
        told = self.lost(flight.step, cause)
        if isinstance(told, Outcome):
            return told
        next_ = self._tried_again(flight, error, begun=told)
        if next_ is not None:
            (self.last if next_.losses > 1 else self.again).append(next_)
            return None
        spent = time.monotonic() - flight.submitted
        times = flight.losses + flight.moves + flight.starved + 1
        return Outcome(False, spent, f"its worker was lost {times} times ({cause})", recorded=False)

    def _tried_again(self, flight: _Flight, error: Exception, *, begun: bool) -> _Flight | None:
        """How a lost step is tried again; None where it has been often enough."""
        if isinstance(error, self.ray.exceptions.OutOfMemoryError):
            return (
                None
                if flight.starved
                else dataclasses.replace(flight, starved=True, cpus=self._roomy(flight.cpus))
            )
        if isinstance(error, self.ray.exceptions.WorkerCrashedError) and begun:
            return (
                dataclasses.replace(flight, losses=flight.losses + 1)
                if flight.losses + 1 < ATTEMPTS
                else None
            )
        return (
            dataclasses.replace(flight, moves=flight.moves + 1)
            if flight.moves + 1 < MOVES
            else None
        )

    def _roomy(self, cpus: float) -> float:
        """Twice the cores, so that fewer steps share the memory, where a node has them."""
        most = max(
            (node["Resources"].get("CPU", 0) for node in self.ray.nodes() if node["Alive"]),
            default=cpus,
        )
        return float(min(2 * cpus, most))


def _call(work: Work, step: Step) -> Outcome:
    return work(step)


def _cause(error: Exception) -> str:
    return type(error).__name__ + ": " + str(error).strip().splitlines()[0][:160]
