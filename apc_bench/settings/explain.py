"""What is wrong with settings, in one line."""

import reprlib
from collections.abc import Callable, Iterable
from datetime import date

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from apc_bench.errors import unknown

Location = tuple[int | str, ...]
"""Where a setting stands, from the outermost name inwards."""

YAML_KINDS: dict[type | tuple[type, ...], str] = {
    bool: "a truth value",
    (int, float): "a number",
    date: "a date",
    type(None): "nothing",
}

_LINES = "must be 'name: value' lines"
_WHOLE, _NUMBER = "must be a whole number", "must be a number"
PLAINLY = {
    "dict_type": _LINES,
    "model_type": _LINES,
    "model_attributes_type": _LINES,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
}
"""Pydantic's kinds of faults -> what to write instead, where its own words are a programmer's."""

WORDS = {
    "Input should be": "must be",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}
"""Pydantic's words -> ours, for all other faults."""

_SHORT = reprlib.Repr()
# An input of nested aliases would be written out beyond any size.
_SHORT.maxlevel = 2
shortened = _SHORT.repr


def explain(
    error: ValidationError,
    beside: Callable[[Location], Iterable[str]],
    hint: Callable[[Location], str | None],
) -> str:
    """The first fault in one line, with its place and what was given, and how many more there are.
    `beside`: the valid names where an unknown setting stood; `hint`: where it belongs, if that is
    known.
    """
    first = error.errors()[0]
    location = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = hint(location)
        message = f"unknown setting here: {known}" if known else ""
        message = message or unknown("setting", str(location[-1]), beside(location))
        location = location[:-1]
    elif first["type"] not in ("value_error", "missing"):
        given = shortened(first["input"])
        message = f"{_plainly(first)} (got {given}{_made_of(first)})"
    if location:
        message = f"{'.'.join(map(str, location))}: {message}"
    more = error.error_count() - 1
    return f"{message} (and {more} more)" if more else message


def _plainly(fault: ErrorDetails) -> str:
    """What a value must be, in words of a job file."""
    if fault["type"] == "tuple_type":
        return f"must be a list in square brackets, such as {_as_list(fault['input'])}"
    if plain := PLAINLY.get(fault["type"]):
        return plain
    said = fault["msg"]
    for words, plainer in WORDS.items():
        said = said.replace(words, plainer, 1)
    return said


def _as_list(value: object) -> str:
    """What was given as the list that it should have been."""
    if isinstance(value, str) and value.strip():
        return f"[{', '.join(value.replace(',', ' ').split())}]"[:80]
    return f"[{value}]" if isinstance(value, int | float) else "[a, b]"


def _made_of(fault: ErrorDetails) -> str:
    """What YAML made of a name that was not put in quotes: of `01`, `2024-01-01`, `true` or
    `null`.
    """
    if fault["type"] != "string_type":
        return ""
    for kinds, made in YAML_KINDS.items():
        if isinstance(fault["input"], kinds):
            return f", {made} to YAML: put it in quotes"
    return ""
