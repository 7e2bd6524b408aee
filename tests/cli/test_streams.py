"""Output that cannot be written: a reader that has gone, a full disk, an alphabet without our signs.
Real processes: no work is lost, no traceback is shown, and the exit code is honest.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import make_category, small_job

from apc_bench.results.status import read_status
from apc_bench.store.run import Run

RUN = "the run"
COMMANDS = {
    "status": ("status", RUN),
    "compare": ("compare", RUN, RUN),
    "list": ("data", "list"),
    "help": ("--help",),
}


@pytest.fixture
def command(small_run):
    """The words of a command, with a real run in the place of RUN."""

    def words(*arguments: object) -> list[str]:
        named = [str(small_run if word is RUN else word) for word in arguments]
        return [sys.executable, "-m", "apc_bench", *named]

    return words


def ended(arguments: list[str], **streams: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(arguments, timeout=280, check=False, **streams)  # type: ignore[call-overload, no-any-return]


def gone() -> int:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.fixture
def full() -> int:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("name", ["status", "list", "help"])
def test_a_reader_that_has_gone_ends_a_command_as_it_ends_others(command, name):
    done = ended(command(*COMMANDS[name]), stdout=gone(), stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("name", ["compare", "list", "help"])
def test_what_a_full_disk_took_is_one_line_and_no_success(command, name, full):
    done = ended(command(*COMMANDS[name]), stdout=full, stderr=subprocess.PIPE)
    line = b"error: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_an_error_keeps_its_code_whatever_becomes_of_the_output(command, full):
    missing = command("status", "/no/such/run")
    assert ended(missing, stdout=gone(), stderr=gone()).returncode == 2
    assert ended(missing, stdout=full, stderr=full).returncode == 2


def test_streams_that_are_closed_from_the_start_are_no_error(command):
    closed = ended(["sh", "-c", '"$@" >&- 2>&-', "sh", *command("status", RUN)])
    assert closed.returncode == 0


@pytest.fixture(scope="module")
def compared(small_run):
    """What `compare` prints in UTF-8."""
    words = [sys.executable, "-m", "apc_bench", "compare", str(small_run), str(small_run)]
    return ended(words, capture_output=True).stdout.decode()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_text_is_written_in_the_alphabet_that_was_asked_for(command, compared, encoding):
    surroundings = {**os.environ, "PYTHONIOENCODING": encoding}
    done = ended(command(*COMMANDS["compare"]), env=surroundings, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "A − B" in compared
    assert "A - B" in done.stdout.decode(encoding)
    assert numbers(compared) == numbers(done.stdout.decode(encoding)) != []


def numbers(text: str) -> list[str]:
    return [word for word in text.split() if word.replace(".", "").isdigit()]


def test_json_needs_no_alphabet(command, small_run, tmp_path):
    run = tmp_path / "Prüfung"
    run.symlink_to(small_run)
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = ended(command("compare", run, run, "--json"), env=surroundings, capture_output=True)
    assert json.loads(done.stdout.decode("ascii"))["a"]["name"] == str(run)


def test_a_name_is_never_lost_to_an_alphabet(command):
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = ended(command("status", "/no/Prüfung"), env=surroundings, capture_output=True)
    assert done.stderr.startswith(rb"error: /no/Pr\xfcfung is no run folder")


def test_a_sweep_does_all_its_work_though_nobody_can_read_of_it(command, tmp_path, full):
    make_category(tmp_path / "data")
    places = ("--data", tmp_path / "data", "--run", tmp_path / "run", "--cache", tmp_path / "cache")
    job = ("--job", small_job(tmp_path), "--methods", "patchcore", "--executor", "serial")
    asked = command("sweep", *job, *places)
    done = ended(asked, stdout=full, stderr=gone())
    assert done.returncode == 1
    state = read_status(Run.open(tmp_path / "run"))
    assert (state.done, state.left, state.failed) == (1, 0, ())
    assert (tmp_path / "run" / "report" / "index.html").is_file()
