"""Which steps may start: a trial waits for its extractor, falls with it, and is handed out once."""

from hypothesis import given
from hypothesis import strategies as st

from apc_bench.plan import EXTRACTOR, TRIAL, Step
from apc_bench.runner.executors import serial
from apc_bench.runner.executors.protocol import Hooks, Resources
from apc_bench.runner.executors.queue import StepQueue
from apc_bench.runner.messages import Outcome
from apc_bench.settings.sweep import Method

DONE, FAILED = Outcome(True, 1.0), Outcome(False, 1.0, "it diverged")


HOOKS = Hooks(say=print, probe=lambda: None, lost=lambda step, cause: False)


def step(key: str, needs: str | None = None) -> Step:
    kind = EXTRACTOR if key.startswith("e") else TRIAL
    return Step(kind, key, key, "d", "c", key, 1, 0, needs, Method(), 1.0)


def run_serially(steps, perform):
    return serial.run(steps, perform, Resources(1, {}), HOOKS)


def drain(queue: StepQueue) -> list[str]:
    return [one.result_key for one in iter(queue.pop, None)]


def test_a_trial_waits_for_its_extractor_and_then_goes_first():
    queue = StepQueue(
        [step("e1"), step("e2"), step("t1", "e1"), step("t2", "e1"), step("t3", "e2"), step("t0")]
    )
    first = queue.pop()
    assert first.result_key == "e1"
    assert queue.finish(first, DONE) == [(first, DONE)]
    assert drain(queue) == ["t1", "t2", "e2", "t0"]
    queue.finish(step("e2"), DONE)
    assert drain(queue) == ["t3"]


def test_what_is_done_already_is_not_waited_for():
    assert drain(StepQueue([step("t1", "e1"), step("t2", "e2"), step("e2")])) == ["t1", "e2"]


def test_what_needs_a_failed_extractor_fails_unstarted_with_its_reason():
    queue = StepQueue([step("e1"), step("t1", "e1"), step("t2", "e1"), step("t3")])
    extractor = queue.pop()
    own, first, second = queue.finish(extractor, FAILED)
    assert own == (extractor, FAILED)
    assert [fallen.result_key for fallen, _ in (first, second)] == ["t1", "t2"]
    assert all(
        not outcome.ok and not outcome.recorded and not outcome.fatal
        for _, outcome in (first, second)
    )
    assert "fine-tune e1" in first[1].reason
    assert "it diverged" in first[1].reason
    assert drain(queue) == ["t3"]


def test_a_failed_trial_takes_nothing_with_it():
    queue = StepQueue([step("t1"), step("t2")])
    first = queue.pop()
    assert queue.finish(first, FAILED) == [(first, FAILED)]
    assert drain(queue) == ["t2"]


@st.composite
def plans(draw):
    extractors = draw(st.integers(0, 4))
    needs = st.sampled_from([None, "elsewhere", *(f"e{number}" for number in range(extractors))])
    steps = [step(f"e{number}") for number in range(extractors)]
    steps += [step(f"t{number}", draw(needs)) for number in range(draw(st.integers(0, 8)))]
    return draw(st.permutations(steps)), (
        draw(st.sets(st.sampled_from([one.result_key for one in steps]))) if steps else set()
    )


@given(plans())
def test_every_step_ends_exactly_once_and_none_starts_before_what_it_needs(plan):
    steps, failing = plan
    started: list[str] = []

    def perform(one: Step) -> Outcome:
        assert one.needs in (None, "elsewhere", *(key for key in started if key not in failing))
        started.append(one.result_key)
        return FAILED if one.result_key in failing else DONE

    ended = {one.result_key: outcome for one, outcome in run_serially(steps, perform)}
    assert sorted(ended) == sorted(one.result_key for one in steps)
    assert len(started) == len(set(started))
    for one in steps:
        fallen = one.needs in failing
        assert (one.result_key in started) == (not fallen)
        assert ended[one.result_key].ok == (not fallen and one.result_key not in failing)


def test_serial_hands_each_outcome_out_before_the_next_step_starts():
    started = []

    def perform(one: Step) -> Outcome:
        started.append(one.result_key)
        return DONE

    running = run_serially([step("t1"), step("t2")], perform)
    next(running)
    assert started == ["t1"]
    running.close()
    assert started == ["t1"]
