"""Ctrl-C and a scheduler's SIGTERM at any moment: an exit code, a line that says how to go on, and
the same numbers in the end.
"""

import random
import signal
import time

import pytest
from processes import account, busy, done, finish, scores_of, start, sweep, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_at_two_moments_leave_a_run_that_goes_on_to_the_same_bits(place, serial, number):
    run, chance = place / number.name, random.Random(number)
    for moment in range(2):
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
