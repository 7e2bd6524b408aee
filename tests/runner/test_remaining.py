"""How long the rest takes: told from what the steps took so far."""

import heapq
from collections import deque
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.plan import EXTRACTOR, TRIAL
from apc_bench.runner import remaining
from apc_bench.runner.remaining import Ongoing, Remaining


def step(method: str, number: int = 0, *, kind: str = TRIAL, macs: float = 1e12) -> SimpleNamespace:
    key = f"{kind} {method} {number}"
    return SimpleNamespace(kind=kind, method=method, macs=macs, result_key=key)


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(remaining.time, "monotonic", lambda: clock.now)
    return clock


def schedule(steps: list, seconds: dict, workers: int) -> list[tuple[float, float, object]]:
    """(start, end, step) of workers that take one step after another."""
    free, waiting, spans = [0.0] * workers, deque(steps), []
    while waiting:
        begin, one = heapq.heappop(free), waiting.popleft()
        spans.append((begin, begin + seconds[one.result_key], one))
        heapq.heappush(free, spans[-1][1])
    return spans


@given(
    each=st.lists(st.floats(0.5, 60), min_size=1, max_size=5),
    arithmetic=st.lists(st.floats(0, 1e13), min_size=5, max_size=5),
    spread=st.floats(0, 0.2),
    setting_up=st.floats(1, 10),
    workers=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_once_two_steps_of_each_kind_have_ended_it_is_within_a_factor_of_one_and_a_half(
    each, arithmetic, spread, setting_up, workers
):
    """Whatever the arithmetic says, although steps of a kind differ, and the first ones set up."""
    kinds = range(len(each))
    steps = [
        step(f"m{place}", number, macs=arithmetic[place]) for number in (0, 1) for place in kinds
    ]
    steps += [
        step(f"m{place}", number, macs=arithmetic[place])
        for place in kinds
        for number in range(2, 40)
    ]
    seconds = {
        one.result_key: each[int(one.method[1:])] * (1 + spread * (-1) ** place)
        for place, one in enumerate(steps)
    }
    for one in steps[: len(each)]:
        seconds[one.result_key] *= setting_up
    spans = schedule(steps, seconds, workers)
    end = max(span[1] for span in spans)
    known = max(span[1] for span in spans[: 2 * len(each)])
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(now=0.0)
        patch.setattr(remaining.time, "monotonic", lambda: clock.now)
        for share in (0.0, 0.3, 0.6, 0.8):
            clock.now = 0.0
            told = Remaining(steps)
            told.began()
            clock.now = now = known + share * (end - known)
            for start, stop, one in sorted(spans, key=lambda span: span[1]):
                if stop <= now:
                    told.ended(one, stop - start)
            running = [
                Ongoing(one, now - start) for start, stop, one in spans if start <= now < stop
            ]
            left = end - now
            slack = 1.5 * max(each)  # of the last steps, when not all workers are busy
            assert left / 1.5 - slack <= told.seconds(running) <= 1.5 * left + slack


def test_a_training_under_way_tells_before_any_step_has_ended(clock):
    tunings = [step("apc", number, kind=EXTRACTOR) for number in range(4)]
    told = Remaining(tunings)
    told.began()
    assert told.seconds([Ongoing(tunings[0], 0.0)]) is None
    clock.now = 60.0
    assert told.seconds([Ongoing(tunings[0], 60.0, 0.01)]) is None, "its first steps are slow"
    assert told.seconds([Ongoing(tunings[0], 60.0, 0.1)]) == pytest.approx(4 * 600 - 60)


def test_nothing_is_told_while_most_of_the_work_is_of_kinds_that_told_nothing(clock):
    """As after the first step of a frozen system, whose arithmetic says little of trainings."""
    trials = [step("patchcore", number) for number in range(5)]
    tunings = [step("apc", number, kind=EXTRACTOR) for number in range(10)]
    told = Remaining([*trials, *tunings])
    told.began()
    clock.now = 5.0
    told.ended(trials[0], 5.0)
    assert told.seconds([Ongoing(tunings[0], 4.0)]) is None
    clock.now = 25.0
    told.ended(tunings[0], 20.0)
    assert told.seconds() == pytest.approx(4 * 5 + 9 * 20, rel=0.1)


def test_what_was_measured_before_the_start_counts_until_more_is_known(clock):
    slow, quick = [step("slow", n) for n in range(2)], [step("quick", n) for n in range(2)]
    seconds = {one.result_key: 100.0 for one in slow} | {one.result_key: 10.0 for one in quick}
    told = Remaining([*slow, *quick], seconds)
    assert told.seconds() == pytest.approx(220)
    told.began()
    clock.now = 30.0
    told.ended(quick[0], 30.0)  # this machine is busy: three times as long
    assert told.seconds() == pytest.approx(3 * 210)
    clock.now = 130.0
    told.ended(slow[0], 100.0)  # but not with these
    assert told.seconds() == pytest.approx(100 + 30)


def test_a_step_that_failed_or_had_been_done_tells_nothing(clock):
    steps = [step("apc", number) for number in range(3)]
    told = Remaining(steps)
    told.began()
    clock.now = 1.0
    told.ended(steps[0], None)
    assert told.seconds() is None
    told.ended(steps[1], 0.0)
    assert told.seconds() is None
    clock.now = 11.0
    assert told.seconds([Ongoing(steps[2], 10.0, 0.5)]) == pytest.approx(11.0)


def test_a_step_that_is_overdue_still_takes_a_while(clock):
    steps = [step("apc", number) for number in range(2)]
    told = Remaining(steps)
    told.began()
    clock.now = 110.0
    told.ended(steps[0], 10.0)
    assert told.seconds([Ongoing(steps[1], 100.0)]) == pytest.approx(1.0)


def test_what_a_process_loads_at_its_first_step_is_not_expected_of_the_others(clock):
    steps = [step("apc", number) for number in range(5)]
    told = Remaining(steps)
    told.began()
    clock.now = 8.0
    told.ended(steps[0], 8.0, 6.0)
    assert told.seconds() == pytest.approx(4 * 2)
