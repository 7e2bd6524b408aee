"""Steps one after another in this process: for tests, debugging and machines where Ray cannot
start.
"""

from collections.abc import Iterable, Iterator

from apc_bench.errors import UsageError
from apc_bench.plan import Step
from apc_bench.runner.executors.protocol import Execution, Hooks, Perform, Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.messages import Outcome


def check(execution: Execution) -> None:
    """Raises UsageError for a cluster or a time limit, which need other processes."""
    flags = {"--address": execution.address, "--step-timeout": execution.step_timeout}
    for flag, value in flags.items():
        if value is not None:
            raise UsageError(
                f"{flag} needs --executor ray: in one process there is nobody else to do or to end"
                " a step"
            )


def slots(resources: Resources) -> int:
    """One."""
    return 1


def run(
    steps: Iterable[Step], perform: Perform, resources: Resources, hooks: Hooks
) -> Iterator[tuple[Step, Outcome]]:
    """Does each step and yields its outcome before the next one starts. An interrupt comes through
    in the midst of a step.
    """
    queue = StepQueue(steps)
    while (step := queue.pop()) is not None:
        hooks.began(step)
        yield from queue.finish(step, perform(step))
