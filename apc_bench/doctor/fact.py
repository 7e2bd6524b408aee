"""What is found out of an installation, one thing at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apc_bench.errors import ApcError


@dataclass(frozen=True, slots=True)
class Fact:
    """`name`: the heading; `text`: in one line, for people; `value`: for programs, as JSON values;
    `faults`: what is wrong, each with its way out.
    """

    name: str
    text: str
    value: Any
    faults: tuple[str, ...] = field(default=())


def found(name: str, look: Callable[[], Fact]) -> Fact:
    """What `look` finds out; where it cannot, that is the fault: of what is ill anything may fail,
    and the rest is still to be told.
    """
    try:
        return look()
    except ApcError as error:
        return Fact(name, "not known", None, (str(error),))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Fact(name, "not known", None, (f"{name}: {reason}",))
