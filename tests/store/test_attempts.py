"""The attempts log: every line of every process, whatever it says."""

import multiprocessing
from pathlib import Path

from apc_bench.store import attempts


def test_failures_are_the_steps_whose_last_attempt_failed(run):
    for key, events in {
        "k1": ("start", "failed", "start", "done"),
        "k2": ("start", "done", "start", "failed"),
        "k3": ("start", "lost"),
    }.items():
        for event in events:
            attempts.record(
                run.attempts_folder,
                event,
                result_key=key,
                kind="trial",
                step=key,
                reason="why" if event == "failed" else None,
            )
    attempts.record(
        run.attempts_folder,
        "failed",
        result_key="k99",
        kind="trial",
        step="of no plan",
        reason="why",
    )
    assert [
        (failure.result_key, failure.category, failure.reason) for failure in run.failures()
    ] == [
        ("k2", "01", "why"),
        ("k3", "02", "lost"),
    ]


def test_attempts_survive_a_line_that_was_cut_short(tmp_path):
    attempts.record(tmp_path, attempts.START, result_key="a", kind="trial", step="one")
    attempts.record(
        tmp_path,
        attempts.FAILED,
        result_key="a",
        kind="trial",
        step="one",
        reason="no",
        seconds=1.0,
    )
    (log,) = tmp_path.iterdir()
    log.write_text(log.read_text() + '{"event": "sta')
    assert [(attempt.event, attempt.reason) for attempt in attempts.read_attempts(tmp_path)] == [
        ("start", None),
        ("failed", "no"),
    ]


def test_attempts_keep_names_that_are_no_utf8_and_signs_that_look_like_ends_of_lines(tmp_path):
    reasons = ["a/caf\udce9.png: empty", "two\u2028lines\x85and\x1cmore", 'quotes " and \\ and \n']
    for reason in reasons:
        attempts.record(
            tmp_path,
            attempts.FAILED,
            result_key="k",
            kind="trial",
            step="·",
            reason=reason,
            traceback=reason,
        )
    assert [attempt.reason for attempt in attempts.read_attempts(tmp_path)] == reasons


def _log(folder: Path, process: int) -> None:
    for number in range(50):
        attempts.record(
            folder, attempts.START, result_key=f"{process}-{number}", kind="trial", step="x" * 3000
        )


def test_attempts_of_several_processes_are_all_kept(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_log, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert {attempt.result_key for attempt in attempts.read_attempts(tmp_path)} == {
        f"{p}-{n}" for p in range(4) for n in range(50)
    }
