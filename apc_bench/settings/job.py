"""Job files: YAML, loaded safely, found by name or path, and overridden by flags."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.anomalib import model_named
from apc_bench.settings.changes import method_of, with_changes
from apc_bench.settings.protocols import OF_ONE_PROTOCOL, Holdout
from apc_bench.settings.sweep import Method, Sweep, make_sweep, run_of
from apc_bench.wording import enumerated

MANIFEST = "rayjob"
"""The one file beside the jobs that is none: KubeRay's."""

FOR_EVERY_METHOD: tuple[str, ...] = ("backbone", "weights")
"""Flags that change each method of a job instead of the sweep."""


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
    # ValueError: not UTF-8, or a date or number that does not exist.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"job file {path}: not valid YAML ({reason})") from None
    if not isinstance(values, dict):
        raise UsageError(f"job file {path}: must hold settings as 'name: value' lines")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-_")[:64]
    return {"job": name or "sweep", **values}


def override(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The job's settings with the flags that were given (those not None); `backbone` and `weights`
    apply to every method, `changes` each to one (changes.py). Where the flags name another protocol
    than the job's, the job's reserve, shots and seeds do not come along. Raises UsageError.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    own = values.get("protocol", Holdout.name)
    if given.get("protocol", own) != own:
        values = {key: value for key, value in values.items() if key not in OF_ONE_PROTOCOL}
    of_methods = {key: given.pop(key) for key in FOR_EVERY_METHOD if key in given}
    methods = values.get("methods") or {}
    changes = given.pop("changes", ())
    if isinstance(methods, dict):
        methods = {name: _with(method, of_methods) for name, method in methods.items()}
        methods = with_changes(methods, changes)
    return {**values, **given, "methods": methods}


def _with(method: Any, changed: Mapping[str, Any]) -> Any:
    """A method's values with the changed ones; as it is where it holds no values, which is refused
    later.
    """
    if not changed or not isinstance(method, dict | None):
        return method
    return {**(method or {}), **changed}


def same_methods_once(sweep: Sweep) -> tuple[Sweep, list[str]]:
    """The sweep without methods that a flag made the same as an earlier one, which then stands for
    them; and a line for each that was to run.
    """
    kept: dict[str, Method] = {}
    stands_for: dict[str, str] = {}
    lines = []
    for name, method in sweep.methods.items():
        twin = next((other for other in kept if _same(kept[other], method)), None)
        stands_for[name] = twin or name
        if twin is None:
            kept[name] = method
        elif name in sweep.chosen:
            lines.append(f"method '{name}' is now the same as '{twin}' and left out")
    only = sweep.only
    if only is not None:
        only = tuple(dict.fromkeys(stands_for[name] for name in only))
    return sweep.model_copy(update={"methods": kept, "only": only}), lines


def _same(one: Method, other: Method) -> bool:
    return one.identity() == other.identity() and one.weights == other.weights


def sweep_from(job: str | Mapping[str, Any], flags: Mapping[str, Any]) -> tuple[Sweep, list[str]]:
    """A job (as `load_job`, or the settings themselves) and flags -> a validated sweep, and lines
    that say what was left out or renamed. Raises UsageError.
    """
    name = f"job '{job}'" if isinstance(job, str) else "settings"
    own = load_job(job) if isinstance(job, str) else {"job": "sweep", **job}
    values = override(own, flags)
    _check_that_it_has(own, flags, name)
    sweep = make_sweep(values, source=name)
    backbones = {method.backbone for method in sweep.chosen.values()}
    if flags.get("weights") is not None and len(backbones) > 1:
        raise UsageError(
            "--weights holds one network, but the methods use several; say which with --backbone"
        )
    renamed = former_names(sweep, values["methods"])
    now = ", ".join(f"{former} is called {name} now" for former, name in renamed.items())
    sweep, lines = same_methods_once(sweep)
    return sweep, [f"{name}: {now}; both names are read", *lines] if renamed else lines


def _check_that_it_has(own: Mapping[str, Any], flags: Mapping[str, Any], name: str) -> None:
    """Raises UsageError where a flag names a method that other shipped jobs have and this one has
    not, or changes one that does not run.
    """
    methods = own.get("methods")
    if not isinstance(methods, dict):
        return
    running = run_of({**own, "only": flags.get("only") or own.get("only")})
    for method in flags.get("only") or ():
        if method not in methods and not model_named(method) and (jobs := _jobs_with(method)):
            have = enumerated([f"--job {job}" for job in jobs], "or")
            raise UsageError(f"{name} has no method '{method}'; pass {have}, which has it")
    for change in flags.get("changes") or ():
        method = method_of(change, methods)
        if method in methods and method not in running:
            raise UsageError(
                f"--set {change}: '{method}' does not run here, so nothing would change; name it in"
                " --methods, or leave the change out"
            )


def _jobs_with(method: str) -> list[str]:
    """The shipped jobs, but for tests' own, that have a method of this name."""
    return [job for job in shipped_jobs() if job != "tiny" and method in load_job(job)["methods"]]


def former_names(sweep: Sweep, methods: Mapping[str, Any]) -> dict[str, str]:
    """Of the settings that a job's methods give, those under a former name -> the name of today."""
    renamed: dict[str, str] = {}
    for name, method in sweep.methods.items():
        given = (methods[name] or {}).get("settings") or {}
        todays = method.settings.todays_names()
        renamed |= {former: todays[former] for former in given if former in todays}
    return renamed
