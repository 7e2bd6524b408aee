"""Steps one after another in this process: for tests, debugging and machines where Ray cannot
start.
"""

from collections.abc import Callable, Iterable, Iterator

from apc_bench.plan import Step
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.messages import Outcome

Work = Callable[[Step], Outcome]


def run(steps: Iterable[Step], work: Work) -> Iterator[tuple[Step, Outcome]]:
    """Does each step and yields its outcome; a step whose extractor failed is yielded as failed
    without being started.
    """
    ready = StepQueue(steps)
    while (step := ready.pop()) is not None:
        yield from ready.finish(step, work(step))
