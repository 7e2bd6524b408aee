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
        self._ready: deque[Step] = deque()
        self._waiting: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            if step.needs is not None and step.needs in planned:
                self._waiting[step.needs].append(step)
            else:
                self._ready.append(step)

    def pop(self) -> Step | None:
        """The next step that may start, or None while all that is left waits."""
        return self._ready.popleft() if self._ready else None

    def finish(self, step: Step, outcome: Outcome) -> list[tuple[Step, Outcome]]:
        """The step's outcome, and those of the steps that fall with it. What it made ready goes
        first, while its files are warm.
        """
        followers = self._waiting.pop(step.result_key, [])
        if outcome.ok:
            self._ready.extendleft(reversed(followers))
            return [(step, outcome)]
        reason = f"not started: {step.name} failed ({outcome.reason})"
        fallen = Outcome(False, 0.0, reason, recorded=False)
        return [(step, outcome), *((follower, fallen) for follower in followers)]
