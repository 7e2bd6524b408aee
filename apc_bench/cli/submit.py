"""`submit`: a sweep as a job of a Ray cluster, checked here before it travels."""

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from apc_bench.cli.streams import output_lost
from apc_bench.cli.sweep import sweep
from apc_bench.errors import UsageError

TREE = ("apc_bench", "jobs", "reports")
PATHS = ("run_path", "data", "like", "weights")
"""Options of a sweep that must name the same place on every node."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("job", metavar="JOB")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SWEEP OPTIONS]")
@click.option(
    "--address",
    metavar="URL",
    help="The dashboard, http://HOST:8265. [default: $RAY_API_SERVER_ADDRESS, else this machine's]",
)
@click.option(
    "--python",
    default="python",
    show_default=True,
    metavar="PATH",
    help="The nodes' Python that has apc-bench and its packages.",
)
@click.option(
    "--working-tree",
    "tree",
    is_flag=True,
    help="Run the code of this checkout instead of what the nodes have installed.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Hand the job in and return, instead of following its log to its exit code.",
)
def submit(
    job: str,
    arguments: tuple[str, ...],
    address: str | None,
    python: str,
    tree: bool,
    no_wait: bool,
) -> int:
    """A sweep as a job of a Ray cluster: JOB by name or file, then the sweep's own options, --run
    DIR among them.

    The job's log is shown here and its exit code passed on; it goes on when this command is
    interrupted.
    """
    from apc_bench.runner.executors import ray_jobs

    _check(job, arguments)
    with tempfile.TemporaryDirectory(prefix="apc-bench-job-") as name:
        folder = Path(name)
        environment = _pack_tree(folder) if tree else {}
        if Path(job).suffix in (".yaml", ".yml"):
            job = Path(shutil.copy(job, folder)).name
        command = shlex.join([python, "-m", "apc_bench", "sweep", "--job", job, *arguments])
        submitted = ray_jobs.submit(command, folder, environment, address, say=_say)
    at = f" --address {address} {submitted}" if address else f" {submitted}"
    if no_wait:
        _say(f"follow it with `ray job logs --follow{at}`, end it with `ray job stop{at}`")
        return 0
    try:
        return ray_jobs.follow(submitted, address, _write)
    except (KeyboardInterrupt, BrokenPipeError):
        _say(f"the job goes on: `ray job logs --follow{at}` shows it, `ray job stop{at}` ends it")
        return 130


def _check(job: str, arguments: Sequence[str]) -> None:
    """Finds here what the sweep would refuse or lose there, where reading the log costs minutes.
    Raises UsageError.
    """
    from apc_bench.settings.job import load_job

    load_job(job)
    given = sweep.make_context("sweep", ["--job", job, *arguments]).params
    if given["run_path"] is None:
        raise UsageError(
            "say with --run where the results go: an absolute path on storage that every node"
            " reaches"
        )
    flags = {option.name: option.opts[0] for option in sweep.params}
    for name in PATHS:
        path: Path | None = given[name]
        if path is not None and not path.is_absolute():
            raise UsageError(
                f"{flags[name]} {path} is relative: on the cluster it would lie in the job's own"
                " folder; give an absolute path"
            )


def _pack_tree(folder: Path) -> dict[str, str]:
    """Copies this checkout's code into the folder; returns the environment that tells the sweep its
    revision.
    """
    from apc_bench.store.provenance import REVISION, git_revision

    root = Path(__file__).resolve().parents[2]
    if not (root / "jobs").is_dir():
        raise UsageError(
            f"--working-tree: {root / 'apc_bench'} is an installed package, not a checkout; leave"
            " the flag out"
        )
    for part in TREE:
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return {REVISION: json.dumps(git_revision())}


def _say(line: str) -> None:
    click.echo(line, err=True)


def _write(text: str) -> None:
    """Raises BrokenPipeError where nobody can read it any more."""
    sys.stdout.write(text)
    sys.stdout.flush()
    if output_lost():
        raise BrokenPipeError
