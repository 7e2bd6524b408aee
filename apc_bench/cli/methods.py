"""`methods`: the systems of a job, and every setting of each detector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from apc_bench.cli.help import WholeNames
from apc_bench.cli.options import JSON
from apc_bench.errors import UsageError, unknown

if TYPE_CHECKING:
    from apc_bench.settings.listing import SettingLine
    from apc_bench.settings.sweep import Method

UNASKED = ("quickstart", "paper", "photos")
"""The jobs that a sweep runs where none is named."""


@click.command()
@click.argument("name", required=False)
@click.option(
    "--job",
    metavar="NAME|FILE",
    help="Whose systems to list. [default: those that run unasked: quickstart, paper and photos]",
)
@JSON
def methods(name: str | None, job: str | None, as_json: bool) -> None:
    """The systems that a sweep compares, and each detector's settings: default, range and meaning.

    NAME: only this detector, the one of this system, or a model of anomalib, such as PaDiM.
    """
    from apc_bench import plugins
    from apc_bench.settings.anomalib import ANOMALIB, model_named
    from apc_bench.settings.detectors import DETECTORS, settings_class
    from apc_bench.settings.listing import described

    systems = _systems((job,) if job else UNASKED)
    detectors = [*DETECTORS, *plugins.offered(plugins.DETECTORS)]
    model = model_named(name or "")
    if model and name not in (*detectors, *(key[0] for key in systems)):
        systems, detectors = {}, [ANOMALIB]
    elif name is not None:
        systems = {key: of for key, of in systems.items() if name in (key[0], of[0].detector)}
        of_system = [method.detector for method, _ in systems.values()]
        if name not in detectors and not of_system:
            known = [*detectors, *(key[0] for key in _systems((job,) if job else UNASKED))]
            raise UsageError(unknown("detector or system", name, set(known)))
        detectors = [name] if name in detectors else list(dict.fromkeys(of_system))
    settings = {detector: described(settings_class(detector)) for detector in detectors}
    if as_json:
        click.echo(json.dumps(_as_object(systems, settings), indent=2))
        return
    if detectors == [ANOMALIB]:
        click.echo("\n".join([*_of_anomalib(model or "Padim"), ""]))
    click.echo("\n".join(_as_lines(systems, settings)))


Systems = dict[tuple[str, str], tuple["Method", list[str]]]
"""Name and identity -> the method, and the jobs that have it."""


def _systems(jobs: tuple[str, ...]) -> Systems:
    from apc_bench.settings.job import load_job
    from apc_bench.settings.sweep import make_sweep

    systems: Systems = {}
    for job in jobs:
        sweep = make_sweep(load_job(job), source=f"job '{job}'")
        for name, method in sweep.methods.items():
            key = (name, json.dumps(method.identity(), sort_keys=True))
            systems.setdefault(key, (method, []))[1].append(sweep.job)
    return systems


def _as_lines(systems: Systems, settings: dict[str, list[SettingLine]]) -> Iterator[str]:
    from apc_bench.settings.anomalib import MODELS

    formatter = WholeNames(max_width=110)
    rows = [
        (
            name,
            f"{method.title or name}: detector {method.detector} on {method.backbone}"
            f" ({', '.join(jobs)})",
        )
        for (name, _), (method, jobs) in systems.items()
    ]
    if rows:
        with formatter.section("Systems, for --methods (and the jobs that have them)"):
            formatter.write_dl(rows)
    for detector, lines in settings.items():
        with formatter.section(f"Settings of detector {detector}"):
            formatter.write_dl(
                [
                    (f"{line.name} = {line.default}", f"{line.meaning} [{line.allowed}]")
                    for line in lines
                ]
            )
    yield formatter.getvalue().rstrip("\n")
    yield ""
    yield (
        "A job may set other values than these defaults. Change one with --set"
        " METHOD.SETTING=VALUE, such as --set apc.steps=600, or in a job file under"
        " methods.METHOD.settings."
    )
    if len(settings) > 1:
        named = ", ".join(MODELS)
        yield f"Models of anomalib: {named}; `apc-bench methods padim` shows how one is added."


def _of_anomalib(model: str) -> Iterator[str]:
    """How a model of anomalib becomes a system of a sweep."""
    from apc_bench.settings.anomalib import MODELS

    settings = f"model: {model}"
    if images := MODELS[model].images:
        settings += ", images: FOLDER"
    yield f"Models of anomalib: {', '.join(MODELS)}. One beside PatchCore, in a job file FILE.yaml:"
    yield ""
    yield "methods:"
    yield "  patchcore: {backbone: resnet18}"
    yield f"  {model.lower()}: {{detector: anomalib, settings: {{{settings}}}}}"
    yield ""
    yield "apc-bench sweep --job FILE.yaml --data DIR --protocol crossfit"
    if images:
        yield f"FOLDER holds {images}"


def _as_object(systems: Systems, settings: dict[str, list[SettingLine]]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "systems": [
            {
                "name": name,
                "title": method.title or name,
                "detector": method.detector,
                "backbone": method.backbone,
                "jobs": jobs,
            }
            for (name, _), (method, jobs) in systems.items()
        ],
        "settings": {
            detector: [asdict(line) for line in lines] for detector, lines in settings.items()
        },
    }
