"""Steps that run out of GPU memory unless they have the GPU to themselves, or always: a driver for
test_nodes.py, with one line per outcome.
"""

import sys
from typing import Any

import ray as ray_package

from apc_bench.plan import TRIAL, Step
from apc_bench.runner.executors import ray
from apc_bench.runner.executors.protocol import Hooks, Resources
from apc_bench.runner.messages import Outcome
from apc_bench.settings.sweep import Method


def work(step: Step) -> Outcome:
    share = ray_package.get_runtime_context().get_assigned_resources()["GPU"]
    fits = step.category == "small" or (step.category == "large" and share == 1)
    return (
        Outcome(True, 0.1, f"had {share:g} GPU")
        if fits
        else Outcome(False, 0.1, f"out of memory on {share:g} GPU", wants_whole_gpu=True)
    )


def main(address: str) -> None:
    steps = [
        Step(TRIAL, name, name, "d", name, "m", 0, 0, None, Method(), 1.0)
        for name in ("small", "large", "huge")
    ]
    resources = Resources(1, {TRIAL: 0.5}, address=address)
    shown: Any = print
    hooks = Hooks(say=shown, probe=lambda: None, lost=lambda step, cause: False)
    for step, outcome in ray.run(steps, work, resources, hooks):
        print(step.category, outcome.ok, outcome.reason, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
