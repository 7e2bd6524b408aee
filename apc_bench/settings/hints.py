"""Where a setting stands that was looked for in the wrong place, or under another tool's name."""

from collections.abc import Iterable, Mapping
from typing import Any

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.anomalib import model_named
from apc_bench.settings.detectors import DETECTORS, settings_class
from apc_bench.wording import enumerated

LISTED = "`apc-bench methods` lists every setting"

ELSEWHERE = {
    "lr": "learning_rate",
    "base_lr": "learning_rate",
    "batch_size": "batch",
    "batchsize": "batch",
    **dict.fromkeys(("epoch", "epochs", "num_epochs", "max_epochs"), "steps"),
    **dict.fromkeys(("iterations", "iters", "num_steps", "max_steps"), "steps"),
}
"""What other tools call a setting -> how its name ends here."""


def unknown_method(name: str, methods: Iterable[str]) -> str:
    """What to say of a method that a job does not have: it may be a model of anomalib."""
    model = None if name in DETECTORS else model_named(name)
    if model:
        return (
            f"method '{name}' is a model of anomalib, {model}, which this job does not have:"
            f" `apc-bench methods {name}` shows the job file that has it"
        )
    return unknown("method", name, methods)


def meant(name: str, fields: Iterable[str]) -> list[str]:
    """The settings among `fields` that a name may mean: the one called so, or those that end so."""
    wanted = ELSEWHERE.get(name, name)
    fields = list(fields)
    if wanted in fields:
        return [wanted]
    return [field for field in fields if field.endswith(f"_{wanted}")]


def for_option(option: str, of_sweep: Iterable[str]) -> str | None:
    """How to say what no option of `sweep` says, `--epochs` or `--interpolation`; None where it is
    no setting of a sweep or a method either.
    """
    name = option.lstrip("-").replace("-", "_")
    if name in of_sweep:
        return (
            f"there is no {option}: '{name}' stands at the top of a job file, for --job FILE.yaml"
        )
    for detector in ("apc", *DETECTORS):
        fields = DETECTORS[detector].model_fields
        if names := meant(name, fields):
            examples = (f"--set {detector}.{one}={fields[one].default}" for one in names)
            return (
                f"there is no {option}: it is a setting of a method, such as"
                f" {enumerated(list(examples), 'or')}; {LISTED}"
            )
    return None


def for_unknown(
    location: tuple[int | str, ...],
    methods: Any,
    *,
    of_sweep: Iterable[str],
    of_method: Iterable[str],
) -> str | None:
    """Where the unknown setting at this place of a job file belongs; None where that is not known.
    `methods`: of the job, not checked yet.
    """
    name = str(location[-1])
    match location:
        case (str(),):
            return _of_some_method(name, methods, of_method)
        case ("methods", str(method), str()):
            if names := meant(name, _settings(methods, method)):
                return _deeper(name, method, names[0])
            return f"'{name}' stands at the top of a job file" if name in of_sweep else None
        case ("methods", str(method), "settings", str()):
            if names := meant(name, _settings(methods, method)):
                named = enumerated([f"'{one}'" for one in names], "or")
                return f"'{name}' is called {named} here; {LISTED}"
            return _of_another_detector(name, methods, method, of_sweep, of_method)
    return None


def _of_some_method(name: str, methods: Any, of_method: Iterable[str]) -> str | None:
    names = list(methods) if isinstance(methods, Mapping) else []
    if name in of_method and names:
        return f"'{name}' is said of each method: write it under methods.{names[0]}"
    for method in names:
        if found := meant(name, _settings(methods, method)):
            return _deeper(name, method, found[0])
    return None


def _deeper(name: str, method: str, setting: str) -> str:
    called = "" if name == setting else f" and called '{setting}' here"
    return (
        f"'{name}' is a setting of a method{called}: write it under methods.{method}.settings, or"
        f" pass --set {method}.{setting}=VALUE; {LISTED}"
    )


def _of_another_detector(
    name: str, methods: Any, method: str, of_sweep: Iterable[str], of_method: Iterable[str]
) -> str | None:
    if name in of_method:
        return f"'{name}' stands beside the settings, under methods.{method}"
    if name in of_sweep:
        return f"'{name}' stands at the top of a job file"
    others = [one for one, known in DETECTORS.items() if meant(name, known.model_fields)]
    if not others:
        return None
    detector = methods[method].get("detector", "patchcore")
    return f"detector '{detector}' has no '{name}'; {enumerated(others)} have"


def _settings(methods: Any, method: str) -> list[str]:
    """The settings of a method's detector; none where that is not known."""
    own = methods.get(method) if isinstance(methods, Mapping) else None
    try:
        detector = (own or {}).get("detector", "patchcore")
        return list(settings_class(detector).model_fields)
    except (AttributeError, TypeError, UsageError):
        return []
