"""`sweep`: fine-tunes, scores and reports, on this machine or a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apc_bench.cli.dry_run import tell, threshold_lines
from apc_bench.cli.options import BITS, CACHE, DATASET, FOLDER, RESIZE, Names, Numbers
from apc_bench.cli.report import show
from apc_bench.errors import ResourceError, UsageError
from apc_bench.runner.executors import EXECUTORS
from apc_bench.settings.backbones import BACKBONES
from apc_bench.settings.protocols import PROTOCOLS
from apc_bench.wording import enumerated

if TYPE_CHECKING:
    from apc_bench.runner.driver import Summary
    from apc_bench.runner.executors.protocol import Execution
    from apc_bench.runner.prepare import Prepared
    from apc_bench.settings.sweep import Sweep
    from apc_bench.store.run import Run


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
@DATASET
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
    "--backbone", metavar="NAME", help=f"For every method: {enumerated(list(BACKBONES), 'or')}."
)
@click.option("--weights", type=FOLDER, metavar="FILE", help="A local state dict for the backbone.")
@click.option("--image-size", type=int, metavar="N", help="Pixels of the square input.")
@click.option("--resize", type=RESIZE, help="How an image becomes square.")
@click.option(
    "--bits",
    type=BITS,
    metavar="N",
    help="Of images with 16 bits a pixel. [default: as many as hold a category's largest value]",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
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
@CACHE
@click.option(
    "--executor",
    type=click.Choice(list(EXECUTORS)),
    default="ray",
    show_default=True,
    help="Fan out with Ray, or one step after another.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Steps at a time. [default: as the cores and memory allow that may be used here]",
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
    "--ray-temp",
    type=FOLDER,
    metavar="DIR",
    help=(
        "Ray's sockets and logs, on a local disk; a short path. [default: $TMPDIR or /tmp, or"
        " another where that will not do]"
    ),
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
    "--dry-run",
    is_flag=True,
    help=(
        "Print the steps and, measured on this machine, about how long each system takes; run"
        " nothing."
    ),
)
def sweep(
    job: str | None,
    like: Path | None,
    data: Path | None,
    run_path: Path | None,
    cache_path: Path | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Fine-tune and score category × method × shots × seed, and report.

    Without --data and --job it runs the quickstart on synthetic images; with --data alone, the
    paper's methods on that folder. Running the same command again resumes: what is done is not done
    again.
    """
    from rich.console import Console

    from apc_bench.runner.driver import default_run, run_sweep
    from apc_bench.runner.prepare import prepare
    from apc_bench.runner.progress import plain
    from apc_bench.store.cache import Cache, default_folder
    from apc_bench.store.run import Run

    console = Console(stderr=True)
    say = plain(console)
    execution = _execution(options)
    repeated = _repeated(like, job)
    data = data or _data_of(repeated)
    settings, lines = _settings(job, data, repeated, options)
    _check_gpu(settings, execution)
    for line in lines:
        say(line)
    cache = Cache(cache_path or default_folder())
    prepared = prepare(settings, data, cache, say=say, dry=dry_run)
    path = run_path or default_run(prepared.sweep, prepared.dataset.name)
    _check_lasting(path)
    for line in _differences(repeated, prepared, path) if repeated else ():
        say(line)
    if dry_run:
        tell(prepared, path, execution)
        return 0
    say(f"run folder: {path}")
    summary = run_sweep(prepared, path, cache, execution, console)
    for step, reason in summary.failed:
        say(f"failed: {step.name}: {reason}")
    data = prepared.dataset.root
    page = show(Run.open(path), data, page=_page_of(summary, path, data))
    click.echo(f"page: {page.resolve()}")
    say("\n".join([*threshold_lines(prepared), _ending(summary, path)]))
    return summary.exit_code


def _execution(options: dict[str, Any]) -> Execution:
    """How to run: takes its fields out of the options, and leaves the settings there. Raises
    UsageError for what the executor cannot do.
    """
    from dataclasses import fields

    from apc_bench.runner.executors.protocol import Execution

    chosen = {field.name: options.pop(field.name) for field in fields(Execution)}
    if chosen["address"] == "local":
        chosen["address"] = None
    execution = Execution(**chosen)
    if execution.scale_up and not (execution.address and execution.workers):
        raise UsageError(
            "--scale-up needs --address and --workers: on what cluster, and for how many steps at a"
            " time"
        )
    EXECUTORS[execution.executor]().check(execution)
    return execution


def _check_gpu(settings: Sweep, execution: Execution) -> None:
    """Raises ResourceError where every step would look for a GPU that this machine lacks; a cluster
    is asked once Ray is connected to it.
    """
    from apc_bench.store.provenance import gpu_names

    if settings.device != "cuda" or execution.address is not None or gpu_names():
        return
    import torch  # where the driver's own tool is missing, it alone knows

    if not torch.cuda.is_available():
        raise ResourceError(
            "--device cuda: this machine has no GPU that torch can use; leave --device out for the"
            " processor, or name a cluster that has GPUs with --address"
        )


def _check_lasting(path: Path) -> None:
    """A Ray job works in a copy of the working folder that is deleted with Ray's session, and so
    would be a run folder in it.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"--run {path} would lie in the job's own copy of the folder and vanish with it; give"
            " an absolute path on shared storage"
        )


def _page_of(summary: Summary, path: Path, data: Path) -> Path | None:
    """The page of a run in which nothing was left to do, where it is as a new one would be."""
    from apc_bench.report import page_since
    from apc_bench.store import attempts
    from apc_bench.store.run import Run

    if summary.done or summary.failed:
        return None
    run = Run(path)
    moment = max(attempts.last_written(run.attempts_folder), run.planned.last_written())
    return page_since(path, data, moment)


def _ending(summary: Summary, path: Path) -> str:
    ended = f"{summary.done} steps done"
    if summary.failed:
        return (
            f"{ended}, {len(summary.failed)} FAILED; `apc-bench status {path}` lists them, and the"
            " same command tries them again"
        )
    return f"{ended}, {summary.before} were done before" if summary.before else ended


def _repeated(like: Path | None, job: str | None) -> Run | None:
    """The run that is repeated. Raises UsageError where a job is named too, RunError for no run."""
    from apc_bench.store.run import Run

    if like is None:
        return None
    if job is not None:
        raise UsageError("--like RUN repeats that run's own job; leave --job out")
    return Run.open(like)


def _data_of(run: Run | None) -> Path | None:
    """The folder of a run's dataset; None where that was a synthetic one, and for no run."""
    if run is None:
        return None
    info = run.info_with("settings", "data")
    return None if info.settings.get("synthetic") else info.data


def _differences(repeated: Run, prepared: Prepared, path: Path) -> list[str]:
    """What is not as it was when the repeated run was made. Raises UsageError where its own folder
    would be the place of its repetition.
    """
    from apc_bench.runner.driver import info_of

    if path.resolve() == repeated.path.resolve():
        raise UsageError(
            f"{path} is the run that --like repeats, and holds its results already; name another"
            " folder with --run"
        )
    info = repeated.info_with("computing", "fingerprints", "weights")
    diff = info.diff(info_of(prepared))
    changed = [
        f"{name} was {old!r}, is {now!r}"
        for name, (old, now) in diff.computing.items()
        if name in info.computing
    ]
    changed += [f"the content of category '{name}' changed" for name in diff.fingerprints]
    changed += [f"the weights of '{name}' changed" for name in diff.weights]
    return [f"not as in {repeated.path}, so numbers may differ: {line}" for line in changed] or [
        f"all that decides numbers is as in {repeated.path}"
    ]


def _settings(
    job: str | None, data: Path | None, repeated: Run | None, flags: Mapping[str, Any]
) -> tuple[Sweep, list[str]]:
    """The repeated run's; else the job named; else the paper's methods on the folder given, resized
    to a square unless it is MVTec AD; else the quickstart. And lines to show.
    """
    from apc_bench.datasets.catalog import is_mvtec_ad
    from apc_bench.datasets.layouts import read_dataset
    from apc_bench.settings.job import sweep_from
    from apc_bench.settings.sweep import make_sweep

    if repeated is not None:
        given = {name: value for name, value in flags.items() if value is not None}
        settings = {**repeated.info_with("settings").settings, **given}
        return make_sweep(settings, source=f"settings of {repeated.path}"), []
    if job or data is None:
        return sweep_from(job or "quickstart", flags)
    dataset = read_dataset(data, categories=flags["categories"])
    names = tuple(category.name for category in dataset.categories)
    flags = {**flags, "categories": flags["categories"] or names, "job": "sweep"}
    if flags["resize"] is None and not is_mvtec_ad(dataset):
        flags["resize"] = "square"
    return sweep_from("photos" if flags["protocol"] == "crossfit" else "paper", flags)
