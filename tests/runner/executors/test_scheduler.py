"""What is tried again, how often and on what, with workers that fail as they are told to."""

import signal

import pytest

from apc_bench.plan import TRIAL, Step
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.executors.scheduler import ATTEMPTS, MOVES, Loss, Scheduler
from apc_bench.runner.executors.signals import StopSignals
from apc_bench.runner.messages import Outcome
from apc_bench.settings.sweep import Method

DONE = Outcome(True, 1.0)
STARVED = Outcome(False, 1.0, "out of GPU memory", wants_whole_gpu=True)
WORKER, NODE, MEMORY = (Loss(of, f"{of} gone") for of in ("worker", "node", "memory"))


class Pool:
    """One machine of four cores. Each step ends as its script says, then with success."""

    def __init__(self, slots: int = 1, **scripts: list[Outcome | Loss]) -> None:
        self.free, self.scripts = slots, scripts
        self.submitted: list[tuple[str, float, float]] = []

    def slots(self):
        return self.free

    def submit(self, step, cpus, gpus):
        self.submitted.append((step.result_key, cpus, gpus))
        return len(self.submitted) - 1

    def wait(self, tasks):
        return tasks[:1]

    def result(self, task):
        script = self.scripts.get(self.submitted[task][0], [])
        return script.pop(0) if script else DONE

    def most_cpus(self):
        return 4.0


def steps(*keys: str) -> StepQueue:
    return StepQueue(
        Step(TRIAL, key, key, "d", "c", key, 1, 0, None, Method(), 1.0) for key in keys
    )


def outcomes(pool: Pool, *keys: str, lost=lambda step, cause: True) -> dict[str, Outcome]:
    scheduler = Scheduler(pool, Resources(1, {TRIAL: 0.25}), lost, lambda step: None)
    ended = list(scheduler.outcomes(steps(*keys), StopSignals(print)))
    assert len(ended) == len(keys)
    return {step.result_key: outcome for step, outcome in ended}


def test_a_step_that_kills_its_workers_is_given_up_and_the_others_go_on():
    pool = Pool(a=[WORKER] * ATTEMPTS)
    ended = outcomes(pool, "a", "b")
    assert ended["b"] is DONE
    assert not ended["a"].ok
    assert not ended["a"].recorded
    assert ended["a"].reason == f"its worker was lost {ATTEMPTS} times (worker gone)"
    assert [key for key, *_ in pool.submitted] == ["a", "a", "b", "a"], "a suspect waits for others"


def test_a_worker_lost_before_it_began_is_not_held_against_the_step():
    pool = Pool(a=[WORKER] * (MOVES - 1))
    assert outcomes(pool, "a", lost=lambda step, cause: False)["a"] is DONE


def test_lost_nodes_are_not_held_against_a_step_but_it_ends():
    assert outcomes(Pool(a=[NODE] * (MOVES - 1)), "a")["a"] is DONE
    reason = outcomes(Pool(a=[NODE] * MOVES), "a")["a"].reason
    assert reason == f"its worker was lost {MOVES} times (node gone)"


def test_for_want_of_memory_it_gets_twice_the_cores_once():
    pool = Pool(a=[MEMORY])
    assert outcomes(pool, "a")["a"] is DONE
    assert pool.submitted == [("a", 1, 0.25), ("a", 2, 0.25)]
    assert not outcomes(Pool(a=[MEMORY, MEMORY]), "a")["a"].ok


def test_for_want_of_gpu_memory_it_gets_the_whole_gpu_once():
    pool = Pool(a=[STARVED])
    assert outcomes(pool, "a")["a"] is DONE
    assert pool.submitted == [("a", 1, 0.25), ("a", 1, 1.0)]
    assert outcomes(Pool(a=[STARVED, STARVED]), "a")["a"] is STARVED


def test_what_the_driver_knows_of_a_lost_step_ends_it():
    pool = Pool(a=[WORKER])
    late = Outcome(False, 9.0, "ended after 9 s")
    assert outcomes(pool, "a", lost=lambda step, cause: late)["a"] is late
    assert len(pool.submitted) == 1


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_steps_are_handed_out_than_there_are_slots(slots):
    pool = Pool(slots)
    begun: list[str] = []
    scheduler = Scheduler(
        pool,
        Resources(1, {TRIAL: 0}),
        lambda step, cause: False,
        lambda step: begun.append(step.result_key),
    )
    next(scheduler.outcomes(steps("a", "b", "c", "d"), StopSignals(print)))
    assert len(pool.submitted) == slots
    assert begun == ["a", "b", "c"][:slots]


def test_after_a_request_to_stop_nothing_starts_and_it_is_an_interrupt():
    pool = Pool()
    scheduler = Scheduler(
        pool, Resources(1, {TRIAL: 0}), lambda step, cause: False, lambda step: None
    )
    with StopSignals(print) as stop:
        running = scheduler.outcomes(steps("a", "b"), stop)
        next(running)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            list(running)
    assert len(pool.submitted) == 1
