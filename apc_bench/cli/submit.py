"""The `submit` command behind its flags: what travels to the cluster, and a check of the command
before it does.
"""

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from apc_bench.errors import UsageError
from apc_bench.settings.job import load_job
from apc_bench.store.provenance import REVISION, git_revision

TREE = ("apc_bench", "jobs", "reports")
PATHS = {"run_path": "--run", "data": "--data", "like": "--like", "weights": "--weights"}


def submit(
    job: str,
    arguments: Sequence[str],
    sweep: click.Command,
    *,
    address: str | None,
    python: str,
    tree: bool,
    wait: bool,
) -> int:
    """Runs `apc-bench sweep --job JOB ARGUMENTS` as a Ray job on the cluster whose dashboard is at
    `address`.

    A job file travels along; with `tree`, the code of this checkout too, else the nodes' installed
    apc-bench runs. Returns the sweep's exit code, 0 at once where it is not to `wait`. Raises
    UsageError for what the sweep would refuse or would lose, ResourceError where the cluster does
    not take it.
    """
    from apc_bench.runner.executors import ray_jobs as submission

    _check(job, arguments, sweep)
    with tempfile.TemporaryDirectory(prefix="apc-bench-job-") as name:
        folder = Path(name)
        environment = _pack_tree(folder) if tree else {}
        if Path(job).suffix in (".yaml", ".yml"):
            job = Path(shutil.copy(job, folder)).name
        command = shlex.join([python, "-m", "apc_bench", "sweep", "--job", job, *arguments])
        submitted = submission.submit(
            command, folder, environment, address, say=lambda line: click.echo(line, err=True)
        )
    known = f" --address {address}" if address else ""
    if not wait:
        click.echo(
            f"follow it with `ray job logs --follow{known} {submitted}`, end it with `ray job"
            f" stop{known} {submitted}`",
            err=True,
        )
        return 0
    try:
        return submission.follow(submitted, address, _write)
    except KeyboardInterrupt:
        click.echo(
            f"the job goes on: `ray job logs --follow{known} {submitted}` shows it, `ray job"
            f" stop{known} {submitted}` ends it",
            err=True,
        )
        raise click.exceptions.Exit(130) from None


def _check(job: str, arguments: Sequence[str], sweep: click.Command) -> None:
    """Finds here what the sweep would refuse there, where reading the log costs minutes."""
    load_job(job)
    given = sweep.make_context("sweep", ["--job", job, *arguments]).params
    if given["run_path"] is None:
        raise UsageError(
            "say with --run where the results go: an absolute path on storage that every node"
            " reaches"
        )
    for name, flag in PATHS.items():
        if given[name] is not None and not given[name].is_absolute():
            raise UsageError(
                f"{flag} {given[name]} is relative: on the cluster it would lie in the job's own"
                " folder; give an absolute path"
            )


def _pack_tree(folder: Path) -> dict[str, str]:
    """Copies this checkout's code into the folder; returns the environment that tells the sweep its
    revision.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "jobs").is_dir():
        raise UsageError(
            f"--working-tree: {root / 'apc_bench'} is an installed package, not a checkout; leave"
            " the flag out"
        )
    for part in TREE:
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return {REVISION: json.dumps(git_revision())}


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
