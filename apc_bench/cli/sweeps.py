"""`sweep` and `submit`: a sweep here, or as a job of a cluster."""

import sys
from pathlib import Path
from typing import Any

import click

from apc_bench.cli.options import FOLDER, Names, Numbers
from apc_bench.settings.backbones import BACKBONES
from apc_bench.wording import enumerated


@click.command()
@click.option(
    "--job",
    metavar="NAME|FILE",
    help=(
        "A shipped job (quickstart, paper, photos, nightly, prnet, ablation, …) or a job file"
        " ending in .yaml."
    ),
)
@click.option(
    "--like",
    type=FOLDER,
    metavar="RUN",
    help=(
        "Repeat the run of that folder: its settings, data, weights and seeds, into another --run."
    ),
)
@click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="A dataset in MVTec layout. Without it, the job's own (quickstart: synthetic).",
)
@click.option(
    "--dataset", metavar="NAME", help="What to call the dataset. [default: the folder's name]"
)
@click.option(
    "--shots",
    type=Numbers(),
    metavar="N,N",
    help="Anomalous training images per category, such as 1,5,10.",
)
@click.option(
    "--seeds", type=Numbers(), metavar="N,N", help="Seeds: each draws other anomalous images."
)
@click.option(
    "--reserve",
    type=click.IntRange(1),
    metavar="N",
    help="Anomalous images taken out of the test set; shots are drawn from them.",
)
@click.option("--categories", type=Names(), metavar="A,B", help="Only these categories.")
@click.option(
    "--methods", "only", type=Names(), metavar="A,B", help="Only these methods of the job."
)
@click.option(
    "--backbone",
    metavar="NAME",
    help=f"For every method: {enumerated(list(BACKBONES), 'or')}.",
)
@click.option("--weights", type=FOLDER, metavar="FILE", help="A local state dict for the backbone.")
@click.option("--image-size", type=int, metavar="N", help="Pixels of the square input.")
@click.option(
    "--resize",
    type=click.Choice(["square", "letterbox", "crop"]),
    help="How an image becomes square.",
)
@click.option(
    "--protocol",
    type=click.Choice(["holdout", "crossfit"]),
    help=(
        "Test on a set apart, or (for few photos) on every defect in turn with models that saw the"
        " others. [default: holdout]"
    ),
)
@click.option(
    "--folds", type=click.IntRange(2), metavar="N", help="Of --protocol crossfit. [default: 5]"
)
@click.option(
    "--part",
    metavar="NAME",
    help="Only test images of this part of groups.csv; shots are drawn from it too.",
)
@click.option(
    "--unseen", metavar="TYPE", help="Draw no shot of this defect type, and test on it alone."
)
@click.option(
    "--features",
    type=click.Choice(["none", "bank"]),
    help="Whether the memory banks are written to the run folder.",
)
@click.option(
    "--skip-unreadable",
    is_flag=True,
    default=None,
    help="Leave unreadable images out, and say so under every table.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where to compute. [default: a GPU if there is one]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Threads per step; part of every result's key. [default: 1]",
)
@click.option(
    "--run",
    "run_path",
    type=FOLDER,
    metavar="DIR",
    help="The run folder. [default: runs/<job>-<dataset>-<digest of the settings>]",
)
@click.option(
    "--cache",
    "cache_path",
    type=FOLDER,
    metavar="DIR",
    help="Decoded images, features and weights. [default: $APC_BENCH_CACHE or ~/.cache/apc-bench]",
)
@click.option(
    "--executor",
    type=click.Choice(["ray", "serial"]),
    default="ray",
    show_default=True,
    help="Fan out with Ray, or one step after another.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Steps at a time. [default: cores / threads]",
)
@click.option(
    "--gpus-per-finetuning",
    type=click.FloatRange(0, 1.0),
    metavar="X",
    help="Share of a GPU. [default: 0.5 on GPUs]",
)
@click.option(
    "--gpus-per-trial",
    type=click.FloatRange(0, 1.0),
    metavar="X",
    help="Share of a GPU. [default: 0.25 on GPUs]",
)
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    metavar="HOST:PORT|auto",
    help="A Ray cluster that runs. [default: $RAY_ADDRESS, else this machine alone]",
)
@click.option(
    "--scale-up",
    is_flag=True,
    help=(
        "The cluster brings nodes when steps wait for them: ask for --workers steps whatever fits"
        " now."
    ),
)
@click.option(
    "--step-timeout",
    type=click.FloatRange(1.0),
    metavar="SECONDS",
    help="End a step that takes longer, and go on without it.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the steps and about how long they take; run nothing."
)
def sweep(
    job: str | None,
    like: Path | None,
    data: Path | None,
    run_path: Path | None,
    cache_path: Path | None,
    executor: str,
    workers: int | None,
    gpus_per_finetuning: float | None,
    gpus_per_trial: float | None,
    address: str | None,
    scale_up: bool,
    step_timeout: float | None,
    dry_run: bool,
    **flags: Any,
) -> None:
    """Fine-tune and score category × method × shots × seed, and report.

    Without --data and --job it runs the quickstart on synthetic images; with --data alone, the
    paper's methods on that folder. Running the same command again resumes: what is done is not done
    again.
    """
    from apc_bench.cli.sweep import Invocation, invoke

    execution = {
        "executor": executor,
        "workers": workers,
        "gpus_per_finetuning": gpus_per_finetuning,
        "gpus_per_trial": gpus_per_trial,
        "step_timeout": step_timeout,
        "scale_up": scale_up,
        "address": None if address == "local" else address,
    }
    sys.exit(invoke(Invocation(job, like, data, run_path, cache_path, dry_run, execution, flags)))


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
) -> None:
    """A sweep as a job of a Ray cluster: JOB by name or file, then the sweep's own options, --run
    DIR among them.

    The job's log is shown here and its exit code passed on; it goes on when this command is
    interrupted.
    """
    from apc_bench.cli.submit import submit as submit_job

    sys.exit(
        submit_job(
            job, arguments, sweep, address=address, python=python, tree=tree, wait=not no_wait
        )
    )
