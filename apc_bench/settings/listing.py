"""Settings to read: those of a detector line by line (name, default, what is allowed and what it
means, from the code that checks them), and those of a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apc_bench.settings.base import DetectorSettings
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.sweep import run_of
from apc_bench.wording import enumerated


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting, as `--set` names it; the default as a job file writes it."""

    name: str
    default: str
    allowed: str
    meaning: str


def described(settings: type[DetectorSettings]) -> list[SettingLine]:
    """Every setting of a detector, in the order of its class."""
    schema = settings.model_json_schema(mode="validation")
    values = settings().model_dump(mode="json")
    todays = settings.todays_names()
    defaults = {todays.get(name, name): value for name, value in values.items()}
    return list(_lines(schema, schema.get("$defs", {}), defaults, ""))


def _lines(
    schema: Mapping[str, Any], groups: Mapping[str, Any], defaults: Mapping[str, Any], before: str
) -> Iterator[SettingLine]:
    for name, one in schema["properties"].items():
        group = one.get("$ref") or next((part["$ref"] for part in one.get("allOf", ())), None)
        if group is not None:
            inner = groups[group.rpartition("/")[2]]
            yield from _lines(inner, groups, defaults[name], f"{before}{name}.")
        else:
            meaning = " ".join(one.get("description", "").split())
            yield SettingLine(f"{before}{name}", written(defaults[name]), allowed(one), meaning)


def as_said_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's recorded settings as a job file says them today: the methods that have run, and their
    settings under the names of today.
    """
    methods = {name: _renamed(method) for name, method in run_of(settings).items()}
    return {**settings, "methods": methods}


def _renamed(method: Mapping[str, Any]) -> dict[str, Any]:
    known = DETECTORS.get(method.get("detector", ""))
    own = method.get("settings")
    if known is None or not isinstance(own, Mapping):
        return dict(method)
    todays = known.todays_names()
    return {**method, "settings": {todays.get(name, name): own[name] for name in own}}


def written(value: Any) -> str:
    """A value as a job file writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(schema: Mapping[str, Any]) -> str:
    """What a setting may be: `whole number, at least 1`."""
    if "anyOf" in schema:
        return " or ".join(allowed(part) for part in schema["anyOf"])
    if "$ref" in schema:
        return _KINDS["object"]
    if "enum" in schema:
        return enumerated([written(value) for value in schema["enum"]], "or")
    if "const" in schema:
        return written(schema["const"])
    match schema.get("type"):
        case "array":
            return f"list of {allowed(schema.get('items', {}))}"
        case "integer" | "number" as kind:
            return ", ".join([_KINDS[kind], *_limits(schema)])
        case str(kind):
            return _KINDS.get(kind, kind)
    return "any value"


_KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "names with values",
}


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    if "exclusiveMinimum" in schema:
        yield f"above {schema['exclusiveMinimum']:g}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"{low:g} to {high:g}"
    elif low is not None:
        yield f"at least {low:g}"
    elif high is not None:
        yield f"at most {high:g}"
    if "exclusiveMaximum" in schema:
        yield f"below {schema['exclusiveMaximum']:g}"
