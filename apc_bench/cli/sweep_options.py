"""The options of `sweep`, in groups, and where to look for what is none of them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from apc_bench.cli.completion import names_or_files
from apc_bench.cli.help import GroupedCommand, in_group
from apc_bench.cli.options import (
    BITS,
    FOLDER,
    RESIZE,
    Names,
    Numbers,
    cache_option,
    dataset_option,
)
from apc_bench.runner.executors import EXECUTORS
from apc_bench.settings.backbones import BACKBONES, TIMM
from apc_bench.settings.protocols import PROTOCOLS

JOBS = (
    "quickstart",
    "paper",
    "photos",
    "prnet",
    "ablation",
    "backbones",
    "mvtec_study",
    "field",
    "nightly",
    "tiles",
    "tiny",
)
"""The shipped jobs, for the help alone: reading their folder would take its time."""

what = in_group("What is compared")
how_much = in_group("How much, and of what")
where = in_group("Where and how it runs")
output = in_group("What comes out")

_OPTIONS = (
    what(
        "--data",
        type=FOLDER,
        metavar="DIR",
        help=(
            "Photos: a plain folder of one part with good/ and bad/ (or bad/TYPE/), several such"
            " folders, or MVTec's layout (CATEGORY/train/good, CATEGORY/test/TYPE). [default: the"
            " job's own; quickstart: synthetic]"
        ),
    ),
    what(
        "--job",
        metavar="NAME|FILE",
        shell_complete=names_or_files(JOBS),
        help=(
            f"A shipped job ({', '.join(JOBS)}) or a job file ending in .yaml. [default:"
            " quickstart; with --data paper, under --protocol crossfit photos]"
        ),
    ),
    what(
        "--like",
        type=FOLDER,
        metavar="RUN",
        help=(
            "Repeat the run of that folder: its settings, data, weights and seeds, into another"
            " --run. [default: none]"
        ),
    ),
    dataset_option(what),
    what("--categories", type=Names(), metavar="A,B", help="Only these. [default: all]"),
    what(
        "--methods",
        "only",
        type=Names(),
        metavar="A,B",
        help="Only these methods of the job; `apc-bench methods` lists them. [default: the job's]",
    ),
    what(
        "--set",
        "changes",
        multiple=True,
        metavar="METHOD.SETTING=VALUE",
        help=(
            "Change a setting of a method, such as apc.steps=600; may be given several times."
            " `apc-bench methods` lists all with their defaults. [default: the job's]"
        ),
    ),
    what(
        "--backbone",
        metavar="NAME",
        shell_complete=names_or_files([*BACKBONES, TIMM]),
        help=(
            f"For every method: {', '.join(BACKBONES)}, or timm/NAME for any model of timm (pip"
            " install 'apc-bench[timm]'). [default: each method's of the"
            " job]"
        ),
    ),
    what(
        "--weights",
        type=FOLDER,
        metavar="FILE",
        help="A local state dict for the backbone. [default: the backbone's, downloaded once]",
    ),
    how_much(
        "--shots",
        type=Numbers(),
        metavar="N,N",
        help=(
            "Anomalous training images per category, such as 1,5,10. [default: the job's, else"
            " 1,5,10; under crossfit as many as there are]"
        ),
    ),
    how_much(
        "--seeds",
        type=Numbers(),
        metavar="N,N",
        help=(
            "Seeds: each draws other anomalous images. [default: the job's, else 0,1,2; under"
            " crossfit one a fold]"
        ),
    ),
    how_much(
        "--reserve",
        type=click.IntRange(1),
        metavar="N",
        help=(
            "Anomalous images taken out of the test set; shots are drawn from them. [default: the"
            " job's, else 10]"
        ),
    ),
    how_much(
        "--protocol",
        type=click.Choice(list(PROTOCOLS)),
        help=(
            "Test on a set apart, or (for few photos) on every defect in turn with models that saw"
            " the others. [default: the job's, else holdout]"
        ),
    ),
    how_much(
        "--folds",
        type=click.IntRange(2),
        metavar="N",
        help="Of --protocol crossfit. [default: the job's, else 5]",
    ),
    how_much(
        "--part",
        metavar="NAME",
        help=(
            "Only test images of this part of groups.csv; shots are drawn from it too. [default:"
            " all]"
        ),
    ),
    how_much(
        "--unseen",
        metavar="TYPE",
        help="Draw no shot of this defect type, and test on it alone. [default: none]",
    ),
    how_much(
        "--image-size",
        type=int,
        metavar="N",
        help="Pixels of the square input. [default: the job's, else 224]",
    ),
    how_much(
        "--resize",
        type=RESIZE,
        help="How an image becomes square. [default: the job's, else square]",
    ),
    how_much(
        "--bits",
        type=BITS,
        metavar="N",
        help=(
            "Of images with 16 bits a pixel. [default: as many as hold a category's largest value]"
        ),
    ),
    how_much(
        "--skip-unreadable",
        is_flag=True,
        default=None,
        help="Leave unreadable images out, and say so under every table.",
    ),
    where(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        help="Where to compute. [default: a GPU if there is one]",
    ),
    where(
        "--threads",
        type=click.IntRange(1, 256),
        metavar="N",
        help="Threads per step; part of every result's key. [default: the job's, else 1]",
    ),
    where(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Steps at a time. [default: as the cores and memory allow that may be used here]",
    ),
    where(
        "--executor",
        type=click.Choice(list(EXECUTORS)),
        default="ray",
        show_default=True,
        help="Fan out with Ray, or one step after another.",
    ),
    where(
        "--gpus-per-finetuning",
        type=click.FloatRange(0, 1.0),
        metavar="X",
        help="Share of a GPU. [default: 0.5 on GPUs]",
    ),
    where(
        "--gpus-per-trial",
        type=click.FloatRange(0, 1.0),
        metavar="X",
        help="Share of a GPU. [default: 0.25 on GPUs]",
    ),
    where(
        "--step-timeout",
        type=click.FloatRange(1.0),
        metavar="SECONDS",
        help="End a step that takes longer, and go on without it. [default: none]",
    ),
    where(
        "--address",
        envvar="RAY_ADDRESS",
        metavar="HOST:PORT|auto",
        help="A Ray cluster that runs. [default: $RAY_ADDRESS, else this machine alone]",
    ),
    where(
        "--scale-up",
        is_flag=True,
        help=(
            "The cluster brings nodes when steps wait for them: ask for --workers steps whatever"
            " fits now."
        ),
    ),
    where(
        "--ray-temp",
        type=FOLDER,
        metavar="DIR",
        help=(
            "Ray's sockets and logs, on a local disk; a short path. [default: $TMPDIR or /tmp, or"
            " another where that will not do]"
        ),
    ),
    cache_option(where),
    output(
        "--run",
        "run_path",
        type=FOLDER,
        metavar="DIR",
        help="The run folder. [default: runs/<job>-<dataset>-<digest of the settings>]",
    ),
    output(
        "--features",
        type=click.Choice(["none", "bank"]),
        help="Whether the memory banks are written to the run folder. [default: none]",
    ),
    output(
        "--no-page",
        is_flag=True,
        help=(
            "Print the table alone; `apc-bench report RUN` makes the page with its figures when it"
            " is wanted."
        ),
    ),
    output(
        "--dry-run",
        is_flag=True,
        help=(
            "Print the steps, for which systems the photos suffice to set a threshold and,"
            " measured on this machine, about how long each takes; run nothing."
        ),
    ),
)

EXAMPLES = (
    "apc-bench sweep                                        # the quickstart",
    "apc-bench sweep --data bracket --protocol crossfit     # ten defect photos and no more",
    "apc-bench sweep --data mvtec_ad --methods patchcore,apc --set apc.steps=600 --dry-run",
)

Function = TypeVar("Function", bound=Callable[..., Any])


def sweep_options(function: Function) -> Function:
    """Gives a command the options of a sweep."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class SweepCommand(GroupedCommand):
    """`sweep`, which says where to look for settings that are no options, and how lists are
    written.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it, but for these two faults."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from apc_bench.settings.hints import for_option
            from apc_bench.settings.sweep import Sweep

            known = for_option(error.option_name, Sweep.model_fields)
            raise (click.UsageError(known, ctx) if known else error) from None
        except click.UsageError as error:
            fault = self._with_spaces(given) if type(error) is click.UsageError else None
            raise (click.UsageError(fault, ctx) if fault else error) from None

    def _with_spaces(self, given: Sequence[str]) -> str | None:
        """What to say of `--shots 1 5 10`, if that was the fault."""
        lists = {
            name
            for option in self.params
            if isinstance(option.type, Numbers | Names)
            for name in option.opts
        }
        for at, word in enumerate(given):
            values: list[str] = []
            for value in given[at + 1 :]:
                if value.startswith("-"):
                    break
                values.append(value.strip(","))
            if word in lists and len(values) > 1:
                together = ",".join(values)
                return f"{word} takes a list with commas and no spaces: {word} {together}"
        return None
