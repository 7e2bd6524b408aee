"""How the command ends as a process."""

import subprocess
import sys

IN_SOURCE_TEXT = """
import os, signal
import apc_bench.cli as command
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
def interrupted(**options):
    exec("os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(1000): pass", {"os": os, "signal": signal})
command.cli = interrupted
command.main()
"""


def test_an_interrupt_within_source_text_ends_with_130_and_not_by_the_signal(tmp_path):
    (tmp_path / "interrupted.py").write_text(IN_SOURCE_TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted; run the same command again to go on\n"


LOADED_RAY = """
import atexit, sys
import click
import apc_bench.cli as command
atexit.register(print, "destructors ran")
sys.modules["ray"] = sys
command.cli = click.Command("sweep", callback=lambda: 1)
sys.argv = ["apc-bench"]
command.main()
"""


def test_a_command_that_used_ray_ends_without_destructors_and_with_its_code(tmp_path):
    """Threads of Ray's own outlive them and crash."""
    (tmp_path / "used_ray.py").write_text(LOADED_RAY)
    command = [sys.executable, "-m", "used_ray"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
