"""Which steps may start: a trial waits for its extractor, and falls with it."""

from collections import defaultdict, deque
from collections.abc import Iterable

from apc_bench.plan import Step
from apc_bench.runner.messages import Outcome


class StepQueue:
    """Steps in the order of the plan, each handed out once what it needs is done. What is needed
    but not in `steps` is done already.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        steps = list(steps)
        planned = {step.result_key for step in steps}
        self.queue = deque(step for step in steps if step.needs not in planned)
        self.waiting: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            if step.needs in planned:
                self.waiting[str(step.needs)].append(step)

    def pop(self) -> Step | None:
        """The next step that may start, or None while all that is left waits."""
        return self.queue.popleft() if self.queue else None

    def finish(self, step: Step, outcome: Outcome) -> list[tuple[Step, Outcome]]:
        """The step's outcome, and those of the steps that fall with it. What it made ready goes
        first, while its files are warm.
        """
        followers = self.waiting.pop(step.result_key, [])
        if outcome.ok:
            self.queue.extendleft(reversed(followers))
            return [(step, outcome)]
        fallen = Outcome(
            False, 0.0, f"not started: {step.name} failed ({outcome.reason})", recorded=False
        )
        return [(step, outcome), *((follower, fallen) for follower in followers)]
