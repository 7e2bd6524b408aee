"""`--set METHOD.SETTING=VALUE`: settings of a job's methods, changed without a job file."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.detectors import settings_class
from apc_bench.settings.hints import LISTED


def with_changes(methods: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The methods of a job, not checked yet, with these changes, each as it was written. A value is
    read as in a job file. Raises UsageError for what is no change, or of no method.
    """
    changed = dict(methods)
    for change in changes:
        place, sign, text = change.partition("=")
        name, dot, setting = _split(place, methods)
        if not (sign and dot and all(setting.split("."))):
            raise UsageError(
                f"--set {change}: write METHOD.SETTING=VALUE, such as apc.steps=600; {LISTED}"
            )
        if name not in methods:
            raise UsageError(f"--set {change}: {unknown('method', name, methods)}")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UsageError(f"--set {change}: '{text}' is no value of a job file") from None
        changed[name] = _with(changed[name], setting.split("."), value)
    return changed


def method_of(change: str, methods: Mapping[str, Any]) -> str:
    """The method that a change names, of these or not."""
    return _split(change.partition("=")[0], methods)[0]


def _split(place: str, methods: Mapping[str, Any]) -> tuple[str, str, str]:
    """Method, dot and setting: a method's name may hold dots itself."""
    for name in sorted(map(str, methods), key=len, reverse=True):
        if place.startswith(f"{name}."):
            return name, ".", place.removeprefix(f"{name}.")
    return place.partition(".")


def _with(method: Any, path: Sequence[str], value: Any) -> Any:
    """A method's values with one setting changed; as it is where it holds no values, which is
    refused later.
    """
    if not isinstance(method, dict | None):
        return method
    own = dict(method or {})
    settings = own.get("settings") or {}
    if not isinstance(settings, dict):
        return method
    for name in _other_names(own, path[0]):
        settings = {key: held for key, held in settings.items() if key != name}
    own["settings"] = _placed(settings, path, value)
    return own


def _placed(settings: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *deeper = path
    settings = settings if isinstance(settings, dict) else {}
    return {**settings, name: _placed(settings.get(name), deeper, value) if deeper else value}


def _other_names(method: Mapping[str, Any], setting: str) -> set[str]:
    """What else a setting is or was called, under which a run folder may hold it."""
    known = settings_class(method.get("detector", "patchcore"))
    both = known.former_names, known.todays_names()
    return {names[setting] for names in both if setting in names}
