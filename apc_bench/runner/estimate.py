"""About how long a sweep will take on this machine, by system: measured rates times what is
planned; for a detector of another package its arithmetic over this machine's matrix rate.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apc_bench.errors import ApcError, ResourceError
from apc_bench.files.machine import usable_cores
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.executors import EXECUTORS
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.prepare import Prepared
from apc_bench.runner.rates import PER_STEP, Rates, step_seconds
from apc_bench.settings.sweep import Sweep
from apc_bench.store.provenance import gpu_names

if TYPE_CHECKING:  # torch is loaded only to measure
    from apc_bench.runner.measuring import Measuring

REACHED = 1.1
"""The arithmetic of a fine-tuning (plan.finetune_macs, which counts the decoder generously) over
what it takes, in a core's matrix rate: measured 1.05 with the builtin network at 96 pixels, 1.3
with ResNet-18 at 128.
"""

START = {"ray": 20.0, "serial": 5.0}
"""Seconds of a sweep beside its steps: starting processes, and the report of a small run."""


@dataclass(frozen=True, slots=True)
class SystemTime:
    """What is left to do of a system, and the mean seconds of each of its steps on one slot; None
    where there is no estimate.
    """

    title: str
    tunings: int
    tuning: float | None
    trials: int
    trial: float | None

    @property
    def seconds(self) -> float | None:
        """Of all its steps, one after another."""
        if (self.tunings and self.tuning is None) or (self.trials and self.trial is None):
            return None
        return self.tunings * (self.tuning or 0.0) + self.trials * (self.trial or 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Times of the systems of a sweep, and of each step by its result_key (None: not known);
    `at_once`: how many steps this machine does in the time of one; `beside`: seconds of start,
    decoding and report; `notes`: what a reader must know, a sentence each.
    """

    systems: tuple[SystemTime, ...]
    steps: Mapping[str, float | None]
    at_once: float
    beside: float
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the whole sweep, as far as there is an estimate."""
        steps = sum(system.seconds or 0.0 for system in self.systems)
        return self.beside + steps / self.at_once


def estimate(prepared: Prepared, left: Sequence[Step], execution: Execution) -> Estimate:
    """Measures each kind of work that is left on this machine, on a few images of the dataset and
    for a few steps, and multiplies. Downloads and writes nothing.

    Raises ResourceError where the device is no device of this machine.
    """
    from apc_bench.runner.examples import pictures
    from apc_bench.runner.measuring import Measuring

    sweep = prepared.sweep
    largest = max(
        len(split.where("train")) for one in prepared.planned for split in one.splits.values()
    )
    some = pictures(prepared.planned[0].category, sweep)
    measuring = Measuring(sweep, some, largest)
    rates: dict[str, Rates] = {}
    notes = []
    for name in dict.fromkeys(step.method for step in left):
        try:
            rates[name] = _measured(prepared, name, measuring)
        except ApcError as error:
            title = sweep.methods[name].title or name
            notes.append(f"{title}: {_instead(sweep)}, since {error}")
    seconds = _seconds(prepared, left, rates)
    cores = usable_cores().amount
    images = sum(len(one.category.samples) for one in prepared.planned)
    decoding = some.seconds * images / cores if len(left) == len(prepared.steps) else 0.0
    return Estimate(
        systems=tuple(_systems(sweep, left, seconds)),
        steps=seconds,
        at_once=min(steps_at_once(sweep, execution), max(1, len(left))),
        beside=START[execution.executor] + decoding if left else 0.0,
        notes=tuple(notes),
    )


def _measured(prepared: Prepared, name: str, measuring: "Measuring") -> Rates:
    method, weights = prepared.sweep.methods[name], prepared.weights[name]
    if method.package:
        raise ResourceError(f"how the work of {method.package} grows is not known here")
    return measuring.rates(method, weights.path if weights.path.is_file() else None)


def _instead(sweep: Sweep) -> str:
    return "no estimate" if sweep.device == "cuda" else "estimated by arithmetic alone, roughly"


def _seconds(
    prepared: Prepared, left: Sequence[Step], rates: Mapping[str, Rates]
) -> dict[str, float | None]:
    """Of each step by its result_key. Frozen features are paid for by the first step of a category
    that needs them.
    """
    sweep = prepared.sweep
    by_arithmetic = core_rate() * sweep.threads * REACHED
    planned = {one.category.name: one for one in prepared.planned}
    remembered: set[tuple[str, str]] = set()
    seconds: dict[str, float | None] = {}
    for step in left:
        if step.method not in rates:
            by_macs = PER_STEP + 2 * step.macs / by_arithmetic
            seconds[step.result_key] = None if sweep.device == "cuda" else by_macs
            continue
        of_method, split = rates[step.method], planned[step.category].splits[step.seed]
        spent = step_seconds(step, split, of_method)
        for key, each in of_method.remembered.items():
            if (step.category, key) not in remembered:
                remembered.add((step.category, key))
                spent += each * len(split.rows)
        seconds[step.result_key] = spent
    return seconds


def _systems(
    sweep: Sweep, left: Sequence[Step], seconds: Mapping[str, float | None]
) -> Iterator[SystemTime]:
    """In the order of the job."""

    def mean(steps: Sequence[Step]) -> float | None:
        known = [spent for step in steps if (spent := seconds[step.result_key]) is not None]
        return math.fsum(known) / len(known) if known else None

    for name, method in sweep.chosen.items():
        own = [step for step in left if step.method == name]
        tunings = [step for step in own if step.kind == EXTRACTOR]
        trials = [step for step in own if step.kind != EXTRACTOR]
        if own:
            title = method.title or name
            yield SystemTime(title, len(tunings), mean(tunings), len(trials), mean(trials))


def steps_at_once(sweep: Sweep, execution: Execution) -> float:
    """How many steps this machine does in the time of one: cores and GPUs do not become more by
    being shared.
    """
    slots = EXECUTORS[execution.executor]().slots(execution.resources(sweep))
    if sweep.device == "cuda":
        return min(slots, max(1, len(gpu_names())))
    return min(slots, max(1.0, usable_cores().amount / sweep.threads))


def core_rate(size: int = 1024, repeats: int = 5) -> float:
    """Floating-point operations of a float32 matrix product in a second of one core's time, which
    other work on the machine does not lengthen: the best of a few short products.
    """
    left = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        left @ left
        best = min(best, time.process_time() - started)
    return 2 * size**3 / best
