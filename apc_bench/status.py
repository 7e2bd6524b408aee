"""What a run folder says of itself: done, running, failed, left. Reads files only, so it works from any machine and after a driver's death."""

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from apc_bench.errors import RunError
from apc_bench.plan import EXTRACTOR
from apc_bench.store import attempts
from apc_bench.store.run import Failure, Run


@dataclass(frozen=True, slots=True)
class Status:
    """Steps of the plan by state. `running`: names of started steps; `held`: whether a sweep holds the folder now; `damaged`: files by name."""

    total: int
    done: int
    running: tuple[str, ...]
    failed: tuple[Failure, ...]
    held: bool
    damaged: tuple[str, ...]

    @property
    def left(self) -> int:
        return self.total - self.done - len(self.running) - len(self.failed)


def status(run: Run) -> Status:
    """The state of every step that was ever planned on this folder."""
    plan = run.plan()
    done = set(run.metrics()["result_key"])
    for row in plan.iter_rows(named=True):
        if row["kind"] == EXTRACTOR and run.has_extractor(row["result_key"]):
            done.add(row["result_key"])
    held = _held(run.path)
    last = {attempt.result_key: attempt for attempt in attempts.read_attempts(run.attempts_folder)}
    planned = set(plan["result_key"])
    running = [
        attempt.step for key, attempt in last.items() if held and attempt.event == attempts.START and key in planned and key not in done
    ]
    failed = [failure for failure in run.failures() if failure.result_key not in done]
    return Status(len(plan), len(done & planned), tuple(running), tuple(failed), held, tuple(dict.fromkeys(run.damaged)))


def _held(path: Path) -> bool:
    """Whether some process holds the run folder's lock."""
    try:
        with FileLock(path / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise RunError(f"cannot look at {path / '.lock'}: {error.strerror}") from None
