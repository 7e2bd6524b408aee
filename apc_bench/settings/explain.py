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

_SHORT = reprlib.Repr()
# An input of nested aliases would be written out beyond any size.
_SHORT.maxlevel = 2
shortened = _SHORT.repr


def explain(error: ValidationError, beside: Callable[[Location], Iterable[str]]) -> str:
    """The first fault in one line, with its place and what was given, and how many more there are.
    `beside`: the valid names where an unknown setting stood.
    """
    first = error.errors()[0]
    location = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = unknown("setting", str(location[-1]), beside(location))
        location = location[:-1]
    elif first["type"] not in ("value_error", "missing"):
        message = f"{message} (got {shortened(first['input'])}{_made_of(first)})"
    if location:
        message = f"{'.'.join(map(str, location))}: {message}"
    more = error.error_count() - 1
    return f"{message} (and {more} more)" if more else message


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
