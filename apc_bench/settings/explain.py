"""What is wrong with settings, in one line."""

import reprlib
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from apc_bench.errors import unknown

Location = tuple[int | str, ...]
"""Where a setting stands, from the outermost name inwards."""

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
        message = f"{message} (got {shortened(first['input'])})"
    if location:
        message = f"{'.'.join(map(str, location))}: {message}"
    more = error.error_count() - 1
    return f"{message} (and {more} more)" if more else message
