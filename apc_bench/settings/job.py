"""Job files: YAML, loaded safely, found by name or path, and overridden by flags."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.sweep import Method, Sweep, make_sweep

MANIFEST = "rayjob"
"""The one file beside the jobs that is none: KubeRay's."""


class _EachOnce(yaml.SafeLoader):
    """A safe loader that refuses a name given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def jobs_folder() -> Path:
    """Where the shipped job files are: inside an installed package, beside the package in a
    checkout.
    """
    installed = Path(str(files("apc_bench"))) / "_jobs"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "jobs"


def shipped_jobs() -> dict[str, Path]:
    """The shipped job files by name."""
    return {
        file.stem: file for file in sorted(jobs_folder().glob("*.yaml")) if file.stem != MANIFEST
    }


def load_job(job: str) -> dict[str, Any]:
    """The settings of a job by its name (`paper`) or file (`my/job.yaml`), whose name it takes
    unless it sets `job` itself.

    Raises UsageError with the nearest name, or what is wrong in the file.
    """
    path = Path(job)
    if path.suffix not in (".yaml", ".yml"):
        shipped = shipped_jobs()
        if job not in shipped:
            raise UsageError(
                f"{unknown('job', job, shipped)}; a job file is given by its path, ending in .yaml"
            )
        path = shipped[job]
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _EachOnce)
    except OSError as error:
        raise UsageError(f"job file {path}: {error.strerror}") from None
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: not UTF-8, or a date or number that does not exist
        raise UsageError(
            f"job file {path}: not valid YAML ({' '.join(str(error).split())[:160]})"
        ) from None
    if not isinstance(values, dict):
        raise UsageError(f"job file {path}: must hold settings as 'name: value' lines")
    return {
        "job": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-_")[:64] or "sweep",
        **values,
    }


def override(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The job's settings with the flags that were given (those not None); `backbone` and `weights`
    apply to every method.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    changed = {key: given.pop(key) for key in ("backbone", "weights") if key in given}
    methods = values.get("methods") or {}
    if changed and isinstance(methods, dict):
        methods = {
            name: {**(method or {}), **changed} if isinstance(method, dict | None) else method
            for name, method in methods.items()
        }
    return {**values, **given, "methods": methods}


def same_methods_once(sweep: Sweep) -> tuple[Sweep, list[str]]:
    """The sweep without methods that a flag made the same as an earlier one, which then stands for
    them; and a line for each.
    """
    kept: dict[str, Method] = {}
    stands_for: dict[str, str] = {}
    lines = []
    for name, method in sweep.methods.items():
        twin = next(
            (
                other
                for other, seen in kept.items()
                if (seen.identity(), seen.weights) == (method.identity(), method.weights)
            ),
            None,
        )
        stands_for[name] = twin or name
        if twin is None:
            kept[name] = method
        else:
            lines.append(f"method '{name}' is now the same as '{twin}' and left out")
    only = (
        None
        if sweep.only is None
        else tuple(dict.fromkeys(stands_for[name] for name in sweep.only))
    )
    return sweep.model_copy(update={"methods": kept, "only": only}), lines


def sweep_from(job: str, flags: Mapping[str, Any]) -> tuple[Sweep, list[str]]:
    """A job and flags -> a validated sweep, and what was left out. Raises UsageError."""
    sweep = make_sweep(override(load_job(job), flags), source=f"job '{job}'")
    if (
        flags.get("weights") is not None
        and len({method.backbone for method in sweep.methods.values()}) > 1
    ):
        raise UsageError(
            "--weights holds one network, but the methods use several; say which with --backbone"
        )
    return same_methods_once(sweep)
