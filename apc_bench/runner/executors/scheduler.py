"""The loop of an executor with workers of its own: hands out steps as slots become free, tries
again what was lost, and stops when it is asked to. Which machines these are, a `Pool` knows.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from apc_bench.plan import Step
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome

ATTEMPTS = 3
"""Workers lost in the midst of one step after which it is taken to be the reason."""

MOVES = 20
"""Nodes lost, and workers before they began the step: none is its fault, but it must end."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A step's worker is gone: by itself, with its node, or ended for the memory that was short."""

    of: Literal["worker", "node", "memory"]
    cause: str


class Pool(Protocol):
    """Workers that each do one step at a time; a `task` is a step that was handed to one."""

    def slots(self) -> int:
        """Steps that fit the machines there are now; at least 1."""

    def submit(self, step: Step, cpus: float, gpus: float) -> Hashable:
        """Hands a step to a worker with so many cores and GPUs; returns the task."""

    def wait(self, tasks: Sequence[Hashable]) -> Sequence[Hashable]:
        """Those that have ended, after a moment at most."""

    def result(self, task: Hashable) -> Outcome | Loss:
        """How a task that has ended did so."""

    def most_cpus(self) -> float:
        """Cores of the largest machine there is now."""


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
    """Steps through a pool of workers. `lost` and `began` as in protocol.Hooks."""

    def __init__(
        self,
        pool: Pool,
        resources: Resources,
        lost: Callable[[Step, str], Outcome | bool],
        began: Callable[[Step], None],
    ) -> None:
        self.pool, self.resources, self.lost, self.began = pool, resources, lost, began
        self.flying: dict[Hashable, _Flight] = {}
        self.again: list[_Flight] = []
        self.last: deque[_Flight] = deque()

    def outcomes(self, queue: StepQueue, stop: StopSignals) -> Iterator[tuple[Step, Outcome]]:
        """Each step's outcome as it comes. Raises KeyboardInterrupt at the end of a sweep that was
        asked to stop.
        """
        while True:
            self._fill(queue, stop)
            if not self.flying or stop.at_once(len(self.flying)):
                break
            for task in self.pool.wait(list(self.flying)):
                flight = self.flying.pop(task)
                outcome = self._outcome(flight, self.pool.result(task))
                if outcome is not None:
                    yield from queue.finish(flight.step, outcome)
        if stop.asked:
            raise KeyboardInterrupt

    def _fill(self, queue: StepQueue, stop: StopSignals) -> None:
        """Hands out steps up to the slots: more would wait with the pool, and start after a
        request to stop.
        """
        while not stop.asked and len(self.flying) < self.pool.slots():
            flight = self._next(queue)
            if flight is None:
                return
            task = self.pool.submit(flight.step, flight.cpus, flight.gpus)
            self.flying[task] = dataclasses.replace(flight, submitted=time.monotonic())
            self.began(flight.step)

    def _next(self, queue: StepQueue) -> _Flight | None:
        """What was lost once goes first, as the plan wants it; what was lost again goes last, so
        that the suspects hold up nobody else.
        """
        if self.again:
            return self.again.pop()
        step = queue.pop()
        if step is not None:
            return _Flight(step, self.resources.cpus, self.resources.gpus[step.kind])
        return self.last.popleft() if self.last else None

    def _outcome(self, flight: _Flight, result: Outcome | Loss) -> Outcome | None:
        """How a step ended; None where it is tried again."""
        if isinstance(result, Loss):
            return self._after_loss(flight, result)
        if result.wants_whole_gpu and 0 < flight.gpus < 1:
            self.again.append(dataclasses.replace(flight, gpus=1.0))
            return None
        return result

    def _after_loss(self, flight: _Flight, loss: Loss) -> Outcome | None:
        verdict = self.lost(flight.step, loss.cause)
        if isinstance(verdict, Outcome):
            return verdict
        retried = self._retried(flight, loss, begun=verdict)
        if retried is None:
            spent = time.monotonic() - flight.submitted
            times = flight.losses + flight.moves + flight.starved + 1
            reason = f"its worker was lost {times} times ({loss.cause})"
            return Outcome(False, spent, reason, recorded=False)
        if retried.losses > 1:
            self.last.append(retried)
        else:
            self.again.append(retried)
        return None

    def _retried(self, flight: _Flight, loss: Loss, *, begun: bool) -> _Flight | None:
        """How a lost step is tried again; None where it has been often enough. For want of memory
        it gets twice the cores, where a machine has them, so that fewer steps share the memory.
        """
        if loss.of == "memory":
            if flight.starved:
                return None
            cpus = min(2 * flight.cpus, self.pool.most_cpus())
            return dataclasses.replace(flight, starved=True, cpus=cpus)
        if loss.of == "worker" and begun:
            losses = flight.losses + 1
            return dataclasses.replace(flight, losses=losses) if losses < ATTEMPTS else None
        moves = flight.moves + 1
        return dataclasses.replace(flight, moves=moves) if moves < MOVES else None
