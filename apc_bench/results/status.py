"""What a run folder says of itself: done, running, failed, left. Reads files only, so it works from
any machine and after a driver's death.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout

from apc_bench.errors import RunError
from apc_bench.plan import EXTRACTOR
from apc_bench.settings.protocols import Holdout, seed_words_of
from apc_bench.store import attempts
from apc_bench.store.attempts import Failure
from apc_bench.store.run import Run
from apc_bench.store.stages import Stage, read_stage
from apc_bench.wording import counted, duration

RECENT = 50
"""Ended steps that the rate is taken from."""


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step that was started `seconds` ago, and where it is by its own last word; None: it has
    said nothing yet.
    """

    name: str
    seconds: float
    stage: Stage | None

    def __str__(self) -> str:
        stage = f"{self.stage}, " if self.stage else ""
        return f"{self.name}: {stage}{duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Status:
    """Steps of the plan by state. `running`: started steps; `held`: whether a sweep holds the
    folder now; `damaged`: files by name.

    `leftovers`: half-written files of a crash, which the next sweep removes. `rate`: steps an hour
    lately, None where none ended; `ends`: when the rest will be done at this rate, None where no
    sweep is at work; `seed_word`: what a seed is to a reader.
    """

    total: int
    done: int
    running: tuple[RunningStep, ...]
    failed: tuple[Failure, ...]
    held: bool
    damaged: tuple[str, ...]
    leftovers: tuple[str, ...]
    rate: float | None
    ends: datetime | None
    seed_word: str = "seed"

    @property
    def left(self) -> int:
        """Steps that are neither done nor running nor failed."""
        return self.total - self.done - len(self.running) - len(self.failed)


def read_status(run: Run) -> Status:
    """The state of every step that was ever planned on this folder."""
    plan = run.plan()
    planned = set(plan["result_key"])
    done = _done(run, plan)
    held = _held(run.path)
    log = attempts.read_attempts(run.attempts_folder)
    failures = attempts.failures(log, plan.to_dicts())
    failed = tuple(failure for failure in failures if failure.result_key not in done)
    rate = _rate(log)
    left = len(planned - done) - len(failed)
    ends = None
    if held and rate and left:
        ends = datetime.now().astimezone() + timedelta(hours=left / rate)
    return Status(
        total=len(plan),
        done=len(done & planned),
        running=tuple(_running(run, log, planned - done)) if held else (),
        failed=failed,
        held=held,
        damaged=tuple(dict.fromkeys(run.damaged)),
        leftovers=() if held else tuple(str(path) for path in run.leftovers()),
        rate=rate,
        ends=ends,
        seed_word=seed_words_of(run.info.settings.get("protocol", Holdout.name))[0],
    )


def _done(run: Run, plan: pl.DataFrame) -> set[str]:
    """The result keys that there are results of; whether weights verify is the sweep's to say."""
    extractors = plan.filter(pl.col("kind") == EXTRACTOR)["result_key"]
    trials = plan.filter(pl.col("kind") != EXTRACTOR).to_dicts()
    return run.extractors.there(extractors) | run.trials.there(trials)


def _running(
    run: Run, log: Sequence[attempts.Attempt], open_steps: set[str]
) -> Iterator[RunningStep]:
    """The open steps whose last attempt is a start. What an earlier attempt's process left of its
    stage is not this one's.
    """
    last = {attempt.result_key: attempt for attempt in log}
    for key, attempt in last.items():
        if key in open_steps and attempt.event == attempts.START:
            stage = read_stage(run.attempts_folder, key)
            if stage and (stage.host, stage.pid) != (attempt.host, attempt.pid):
                stage = None
            yield RunningStep(attempt.step, max(0.0, time.time() - attempt.time), stage)


def _rate(log: Sequence[attempts.Attempt]) -> float | None:
    """Steps that ended, an hour, over the last RECENT of them: a sweep that was resumed must not be
    slowed down by the pause.
    """
    ended = [attempt.time for attempt in log if attempt.event == attempts.DONE][-RECENT:]
    gaps = [later - earlier for earlier, later in itertools.pairwise(ended)]
    if len(gaps) < 3:
        return None
    usual = sorted(gaps)[: max(3, int(0.9 * len(gaps)))]
    return 3600 * len(usual) / max(sum(usual), 1e-3)


def as_lines(state: Status) -> list[str]:
    """A status for people."""
    lines = [
        f"{state.done} of {state.total} steps done, {len(state.running)} running,"
        f" {len(state.failed)} failed, {state.left} left"
    ]
    lines.append("a sweep holds this folder now" if state.held else "no sweep is at work here")
    if state.rate is not None and state.held:
        rate = f"{state.rate:.0f} steps an hour lately"
        if state.ends:
            rate += f"; will be done about {state.ends:%Y-%m-%d %H:%M}"
        lines.append(rate)
    lines += [f"running  {step}" for step in state.running]
    lines += [
        f"failed   {_place(failure, state.seed_word)}: {failure.reason}" for failure in state.failed
    ]
    lines += [f"damaged  {line}" for line in state.damaged]
    lines += [f"left by a crash, removed by the next sweep: {path}" for path in state.leftovers]
    return lines


def as_object(state: Status) -> dict[str, Any]:
    """A status for programs: the same, as JSON values."""
    ends = state.ends.isoformat(timespec="seconds") if state.ends else None
    return {
        "total": state.total,
        "done": state.done,
        "left": state.left,
        "running": [step.name for step in state.running],
        "stages": [_as_values(step) for step in state.running],
        "failed": [dataclasses.asdict(failure) for failure in state.failed],
        "held": state.held,
        "damaged": list(state.damaged),
        "leftovers": list(state.leftovers),
        "steps_an_hour": state.rate,
        "ends": ends,
    }


def _as_values(step: RunningStep) -> dict[str, Any]:
    values: dict[str, Any] = {"step": step.name, "seconds": round(step.seconds, 1)}
    for name in ("name", "done", "total", "loss", "host", "pid", "time"):
        values["stage" if name == "name" else name] = getattr(step.stage, name, None)
    return values


def _place(failure: Failure, seed_word: str) -> str:
    shots = f" · {counted(failure.shots, 'shot')}" if failure.shots else ""
    where = f"{failure.method} · {failure.category}{shots} · {seed_word} {failure.seed}"
    return f"{failure.kind} {where}"


def _held(path: Path) -> bool:
    """Whether some process holds the run folder's lock."""
    try:
        with FileLock(path / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise RunError(f"cannot look at {path / '.lock'}: {error.strerror}") from None
