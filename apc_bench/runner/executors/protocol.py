"""The seam between the driver of a sweep and those who do its steps. Loads no torch and no Ray."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apc_bench.plan import EXTRACTOR, TRIAL, Step
from apc_bench.runner.messages import Outcome
from apc_bench.settings.sweep import Sweep

Perform = Callable[[Step], Outcome]
"""Does one step, wherever it is called. Never raises."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How and where steps run, as the user asked for it; none of it changes a number.

    `executor`: a name of executors.EXECUTORS. `workers`: steps at a time, None for as many as fit.
    `gpus_per_…`: share of a GPU, None for a half and a quarter where steps compute on one.
    `step_timeout` in seconds. `address`: of a Ray cluster, None for this machine alone;
    `scale_up`: it brings nodes for the `workers`. `ray_temp`: the folder of a Ray of the sweep's
    own, None for Ray's usual one.
    """

    executor: str = "ray"
    workers: int | None = None
    gpus_per_finetuning: float | None = None
    gpus_per_trial: float | None = None
    step_timeout: float | None = None
    address: str | None = None
    scale_up: bool = False
    ray_temp: Path | None = None

    def resources(self, sweep: Sweep) -> "Resources":
        """What that comes to for a sweep whose device is resolved."""
        gpus = {EXTRACTOR: self.gpus_per_finetuning, TRIAL: self.gpus_per_trial}
        usual = {EXTRACTOR: 0.5, TRIAL: 0.25} if sweep.device == "cuda" else {}
        shares = {
            kind: usual.get(kind, 0.0) if share is None else share for kind, share in gpus.items()
        }
        return Resources(
            sweep.threads, shares, self.workers, self.address, self.scale_up, self.ray_temp
        )


@dataclass(frozen=True, slots=True)
class Resources:
    """What the steps of a sweep may use: `cpus` cores each and, by kind of step, `gpus` (fractions
    are fine).

    `workers`: steps at a time, None for as many as fit. `address`: of a Ray cluster, None for a
    private Ray of this machine. `scale_up`: the cluster brings nodes when steps wait for them, so
    `workers` are asked for whatever fits now. `ray_temp`: the folder of a private Ray, None for its
    usual one.
    """

    cpus: int
    gpus: Mapping[str, float]
    workers: int | None = None
    address: str | None = None
    scale_up: bool = False
    ray_temp: Path | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What an executor asks of the driver.

    `say` shows the user a line. `probe` may be pickled and called on any machine: what is wrong
    there for these steps, or None. `lost` is told of every loss of a step's worker, with the
    cause; an outcome ends the step, else: whether the worker had begun it. `began` is told of each
    step that is handed to a worker, every time.
    """

    say: Callable[[str], None]
    probe: Callable[[], str | None]
    lost: Callable[[Step, str], Outcome | bool]
    began: Callable[[Step], None] = lambda step: None


class Executor(Protocol):
    """A module of executors/: it decides where and when steps run, and nothing else."""

    def check(self, execution: Execution) -> None:
        """Raises UsageError for what was asked and cannot be done here."""

    def slots(self, resources: Resources) -> int:
        """How many steps this machine does at a time."""

    def run(
        self, steps: Iterable[Step], perform: Perform, resources: Resources, hooks: Hooks
    ) -> Iterator[tuple[Step, Outcome]]:
        """Does the steps and yields the outcome of each, once, as it comes. A step whose extractor
        failed is yielded as failed without being started.

        Raises ResourceError where no machine can do them, KeyboardInterrupt once it has stopped for
        a request to.
        """
