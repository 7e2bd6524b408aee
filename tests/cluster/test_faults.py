"""Killed workers, killed drivers, hung and poisonous steps: the numbers stay, and the log says what
it cost.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest
from processes import (
    account,
    at_work,
    busy,
    done,
    finish,
    log_of,
    scores_of,
    start,
    sweep,
    wait_until,
)

from apc_bench.store import attempts

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
APART = 6
"""Steps that are done between two kills: killed faster than it can work, a sweep ends with what it
has tried three times.
"""


def test_workers_killed_again_and_again_change_no_number(place, serial):
    run, chance, faults = place / "killed", random.Random(0), []
    killed: Counter[str] = Counter()
    driver = start(sweep(place, "killed"))

    def victims() -> list[tuple[int, str]]:
        """Workers at work, but for steps that a third kill would end as failed."""
        return [(pid, step) for pid, step in at_work(run).items() if killed[step] < 2]

    while driver.poll() is None:
        if wait_until(lambda: bool(victims()) or driver.poll() is not None, 120) and (
            found := victims()
        ):
            pid, step = chance.choice(found)
            os.kill(pid, signal.SIGKILL)
            killed[step] += 1
            faults.append(time.time())
            wanted = done(run) + APART
            wait_until(lambda wanted=wanted: done(run) >= wanted or driver.poll() is not None, 200)
            time.sleep(chance.uniform(0, 2))
    output, _ = driver.communicate()
    assert driver.returncode == 0, output
    assert len(faults) > 1, "hardly a worker was caught at work"
    assert scores_of(run).equals(scores_of(serial))
    print(account(run, faults))


def test_a_driver_killed_at_up_to_three_moments_goes_on_to_the_same_bits(place, serial):
    run, chance, faults = place / "driverless", random.Random(1), []
    for _ in range(3):
        wanted = done(run) + chance.randrange(1, 5)
        driver = start(sweep(place, "driverless"))
        came = wait_until(
            lambda wanted=wanted, driver=driver: done(run) >= wanted or driver.poll() is not None,
            200,
        )
        time.sleep(chance.uniform(0, 0.5))
        driver.kill()
        faults.append(time.time())
        output, _ = driver.communicate()
        assert came, (
            f"{done(run)} steps done, {wanted} awaited; steps at work: {busy(run)}\n{output}"
        )
        if driver.returncode == 0:  # on a fast machine the last kill finds nothing left to do
            faults.pop()
            break
        assert driver.returncode == -signal.SIGKILL, output
    assert len(faults) > 1
    finish(sweep(place, "driverless"))
    assert scores_of(run).equals(scores_of(serial))
    print(account(run, faults))


def test_a_hung_step_is_ended_with_its_stacks_and_the_rest_goes_on(place, endless):
    run = place / "hung"
    ended = finish(sweep(place, "hung", *endless, "--step-timeout", "25"), code=1)
    failed = [
        attempt for attempt in log_of(run) if attempt.event == attempts.FAILED and attempt.traceback
    ]
    assert len(failed) == 2
    assert all("ended after 25 s (--step-timeout)" in attempt.reason for attempt in failed)
    assert all("fit_extractor" in attempt.traceback for attempt in failed)
    assert ended.stderr.count("FAILED fine-tune apc") == 2
    assert done(run) == 2, "the trials that do not need it are done"
    assert not list((run / "attempts").glob("*.stacks"))


def test_a_step_that_costs_three_workers_is_recorded_and_the_rest_goes_on(place, endless):
    run, victim, kills = place / "poison", "fine-tune apc · weave · 1 shot · seed 0", 0
    driver = start(sweep(place, "poison", *endless, "--step-timeout", "40"))
    while kills < 3 and wait_until(lambda: bool(busy(run, victim)), 100):
        os.kill(busy(run, victim)[0], signal.SIGKILL)
        kills += 1
        wait_until(lambda: not busy(run, victim), 10)
    output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 1, output
    assert kills == 3
    assert "its worker was lost 3 times" in output
    events = [attempt.event for attempt in log_of(run) if attempt.step == victim]
    assert events.count(attempts.START) == events.count(attempts.LOST) == 3
    assert done(run) == 2
