"""`sweep --dry-run`: what would be done here, and about how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apc_bench.errors import ResourceError

if TYPE_CHECKING:
    from apc_bench.plan import Step
    from apc_bench.runner.executors.protocol import Execution
    from apc_bench.runner.prepare import Prepared

DEVICES = {"cpu": "processor", "cuda": "GPU"}


def tell(prepared: Prepared, path: Path, execution: Execution) -> None:
    """The steps in the order of the plan, what of them is done, what would be downloaded, and about
    how long it takes, by system.
    """
    from rich.console import Console

    from apc_bench.runner.progress import counted_steps, plain
    from apc_bench.store.run import Run

    say, run = plain(Console()), Run(path)
    for line in prepared.missing:
        say(line)
    done = run.done(prepared.steps)
    for step in prepared.steps:
        say(f"{'done ' if step.result_key in done else 'would'} {step.name}")
    left = [step for step in prepared.steps if step.result_key not in done]
    prepared.splits_of(left)  # what a sweep would refuse is refused
    for line in threshold_lines(prepared):
        say(line)
    if prepared.sweep.synthetic is None:
        say("whether every file can be used is not looked at here: `apc-bench data check` does")
    say(f"run folder: {path}")
    say(f"{counted_steps(prepared.steps)}; {len(left)} left")
    if left:
        _tell_hours(prepared, left, execution)


def threshold_lines(prepared: Prepared) -> list[str]:
    """For which systems the normal photos suffice to calibrate a threshold, and what the others
    need.
    """
    from apc_bench.datasets.calibration import FINE_TUNED, FROZEN, calibrations, in_a_sweep

    sweep = prepared.sweep
    titles: dict[bool, list[str]] = {FROZEN: [], FINE_TUNED: []}
    for name, method in sweep.chosen.items():
        titles[method.settings.holds_out].append(method.title or name)
    found = []
    for planned in prepared.planned:
        found += calibrations(
            planned.category,
            titles,
            dataset=prepared.dataset.name,
            seeds=sweep.seeds,
            false_alarms=sweep.false_alarms,
        )
    return list(in_a_sweep(found))


def _tell_hours(prepared: Prepared, left: Sequence[Step], execution: Execution) -> None:
    """About how long the steps take on this machine, or why that cannot be said."""
    from rich.console import Console

    from apc_bench.files.machine import usable_machine
    from apc_bench.runner.estimate import estimate
    from apc_bench.runner.foretold import longest
    from apc_bench.runner.progress import plain
    from apc_bench.tables.hours import hours_table

    console = Console()
    say = plain(console)
    usable = usable_machine()
    say(f"to use here: {usable['cores']}; {usable['memory']}")
    say(f"measuring one step of each kind on this machine's {DEVICES[prepared.sweep.device]} …")
    try:
        estimated = estimate(prepared, left, execution)
    except ResourceError as error:
        say(f"no estimate of time: {error}")
        return
    console.print(hours_table(estimated))
    for line in [*estimated.notes, *longest(prepared, left, estimated)]:
        say(line)
