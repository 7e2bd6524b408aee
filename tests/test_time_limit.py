"""A step that takes too long ends its own process and says where it was, in Python and in compiled
code that never lets Python's threads in; one that is in time leaves nothing.
"""

import subprocess
import sys

import pytest

from apc_bench.runner.time_limit import take_note, time_limit

STEP = """
import sys
from collections import deque
from itertools import repeat
from pathlib import Path
from apc_bench.runner.time_limit import time_limit

def in_python():
    while True:
        sum(number for number in range(10))

def in_compiled_code():
    deque(repeat(0), maxlen=0)

def the_step(work):
    work()

with time_limit(0.5, Path(sys.argv[1])):
    the_step(globals()[sys.argv[2]])
"""


@pytest.mark.parametrize("where", ["in_python", "in_compiled_code"])
def test_a_hung_step_ends_its_process_and_leaves_its_whole_stack(tmp_path, where):
    note = tmp_path / "attempts" / "step.stacks"
    ended = subprocess.run([sys.executable, "-c", STEP, note, where], timeout=60)
    assert ended.returncode == 1
    stacks = take_note(note)
    assert f"in {where}\n" in stacks
    assert "in the_step\n" in stacks
    assert "in <module>\n" in stacks
    by_the_watchdog = stacks.startswith("Timeout (")  # which reads what runs, and may cut it short
    assert by_the_watchdog == (where == "in_compiled_code")
    assert take_note(note) is None, "a note is taken once"


def test_a_step_in_time_leaves_nothing_and_is_not_ended_later(tmp_path):
    note = tmp_path / "attempts" / "step.stacks"
    program = (
        STEP.replace("the_step(globals()[sys.argv[2]])", "pass") + "import time; time.sleep(4)"
    )
    ended = subprocess.run([sys.executable, "-c", program, note], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert not note.exists()


def test_without_a_limit_there_is_no_note(tmp_path):
    with time_limit(None, tmp_path / "step.stacks"):
        assert not (tmp_path / "step.stacks").exists()
