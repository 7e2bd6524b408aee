"""Killed workers, killed drivers, interrupts, hung and poisonous steps: the numbers stay, and the log says what it cost."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import yaml
from processes import account, busy, done, finish, log_of, scores_of, start, sweep, wait_until

from apc_bench.store import attempts

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
APART = 3
"""Steps that are done between two kills: killed faster than it can work, a sweep ends with what it has tried three times."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def serial(place) -> Path:
    finish(sweep(place, "serial", "--executor", "serial"))
    return place / "serial"


def test_workers_killed_again_and_again_change_no_number(place, serial):
    run, chance, faults = place / "killed", random.Random(0), []
    driver = start(sweep(place, "killed"))
    while driver.poll() is None:
        if wait_until(lambda: bool(busy(run)) or driver.poll() is not None, 120) and (at_work := busy(run)):
            os.kill(chance.choice(at_work), signal.SIGKILL)
            faults.append(time.time())
            wanted = done(run) + APART
            wait_until(lambda wanted=wanted: done(run) >= wanted or driver.poll() is not None, 200)
            time.sleep(chance.uniform(0, 2))
    output, _ = driver.communicate()
    assert driver.returncode == 0, output
    assert len(faults) > 1, "hardly a worker was caught at work"
    assert scores_of(run).equals(scores_of(serial))
    print(account(run, faults))


def test_a_driver_killed_at_five_moments_goes_on_to_the_same_bits(place, serial):
    run, chance, faults = place / "driverless", random.Random(1), []
    for _ in range(5):
        wanted = done(run) + chance.randrange(1, 5)
        driver = start(sweep(place, "driverless"))
        assert wait_until(lambda wanted=wanted: done(run) >= wanted, 200)
        time.sleep(chance.uniform(0, 0.5))
        driver.kill()
        faults.append(time.time())
        driver.communicate()
    finish(sweep(place, "driverless"))
    assert scores_of(run).equals(scores_of(serial))
    print(account(run, faults))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_at_five_moments_leave_a_run_that_goes_on_to_the_same_bits(place, serial, number):
    run, chance = place / number.name, random.Random(number)
    for moment in range(5):
        driver = start(sweep(place, number.name))
        before, more = done(run), chance.randrange(1, 6)
        if moment == 0:
            time.sleep(chance.uniform(1, 6))  # while it starts
        else:
            wait_until(lambda before=before, more=more: done(run) >= min(before + more, 27), 100)
        driver.send_signal(number)
        output, _ = driver.communicate(timeout=60)
        assert driver.returncode == 130, output
        assert "Traceback" not in output
        assert "run the same command again" in output
    finish(sweep(place, number.name))
    assert scores_of(run).equals(scores_of(serial))
    print(account(run, []))


@pytest.fixture(scope="module")
def endless(place) -> tuple[str, ...]:
    """The job `tiny` with a fine-tuning that takes hours, one shot and one seed: two fine-tunings and four trials, of which two can be done."""
    job = yaml.safe_load(Path("jobs/tiny.yaml").read_text()) | {"shots": [1], "seeds": [0]}
    job["methods"]["apc"]["settings"] |= {"steps": 100_000, "batch": 16}
    path = place / "endless.yaml"
    path.write_text(yaml.safe_dump(job))
    return ("--job", str(path))


def test_a_second_interrupt_stops_at_once(place, endless):
    driver = start(sweep(place, "twice", *endless))
    assert wait_until(lambda: len(busy(place / "twice")) == 2, 100)
    driver.send_signal(signal.SIGINT)
    time.sleep(2)
    assert driver.poll() is None, "it waits for what runs"
    began = time.monotonic()
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, output
    assert "2 running steps have 20 s to end" in output
    assert time.monotonic() - began < 15


def test_a_hung_step_is_ended_with_its_stacks_and_the_rest_goes_on(place, endless):
    run = place / "hung"
    ended = finish(sweep(place, "hung", *endless, "--step-timeout", "8"), code=1)
    failed = [attempt for attempt in log_of(run) if attempt.event == attempts.FAILED and attempt.traceback]
    assert len(failed) == 2
    assert all("ended after 8 s (--step-timeout)" in attempt.reason for attempt in failed)
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
