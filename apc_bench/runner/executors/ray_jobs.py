"""A command given to a cluster as a Ray job: handed in, its log followed, its exit code passed
on.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apc_bench.errors import ResourceError

LOOK_EVERY = 2.0
PATIENCE = 300.0
"""Seconds without an answer after which the cluster is given up: a night's job must not end for one
lost packet.
"""


def submit(
    command: str,
    folder: Path,
    environment: Mapping[str, str],
    address: str | None,
    say: Callable[[str], None],
) -> str:
    """Hands the command in, to run on the head node in a copy of `folder`, which every worker gets
    too. Returns the job's id.

    `address`: of the dashboard, http://HOST:8265; None for Ray's own search
    (RAY_API_SERVER_ADDRESS, else the cluster of this machine). Raises ResourceError where no
    cluster takes jobs there.
    """
    client = _client(address)
    runtime = {"working_dir": str(folder), "env_vars": dict(environment)}
    try:
        job = str(client.submit_job(entrypoint=command, runtime_env=runtime))
    except (RuntimeError, ConnectionError, OSError) as error:
        raise ResourceError(f"the cluster did not take the job: {_line(error)}") from None
    say(f"job {job} at {client.get_address()}")
    return job


def follow(job: str, address: str | None, write: Callable[[str], None]) -> int:
    """Passes what the job prints to `write` until it ends, and returns its exit code; 1 where it
    ended without one.

    Raises ResourceError where the cluster does not answer for PATIENCE seconds.
    """
    client, shown, answered = _client(address), 0, time.monotonic()
    while True:
        try:
            info = client.get_job_info(job)
            log = client.get_job_logs(job)
        except (RuntimeError, ConnectionError, OSError) as error:
            if time.monotonic() - answered > PATIENCE:
                raise ResourceError(
                    f"the cluster does not answer any more about job {job}: {_line(error)}"
                ) from None
        else:
            answered = time.monotonic()
            write(log[shown:])
            shown = len(log)
            if info.status.is_terminal():
                return _exit_code(info, write)
        time.sleep(LOOK_EVERY)


def _client(address: str | None) -> Any:
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (RuntimeError, ConnectionError, OSError, ValueError) as error:
        where = f"at {address}" if address else "here"
        hint = 'pass --address http://HOST:8265 of a head node that has "ray[default]"'
        raise ResourceError(f"no Ray cluster takes jobs {where}: {_line(error)}; {hint}") from None


def _exit_code(info: Any, write: Callable[[str], None]) -> int:
    if info.driver_exit_code is None and info.status != "SUCCEEDED":
        write(f"job {info.status.lower()}: {info.message or 'no reason given'}\n")
        return 1
    return int(info.driver_exit_code or 0)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
