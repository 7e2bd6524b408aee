"""What a category's renderer is given: which defect to put into the scene, if any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.random import Generator

from apc_bench.datasets.synthetic.fields import Field

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect to draw: its type, how severe it is (0 barely visible, 1 obvious), and the
    generator of its place and form.
    """

    kind: str
    severity: float
    rng: Generator

    def scaled(self, barely: float, obvious: float) -> float:
        """A quantity that goes geometrically with the severity, from `barely` to `obvious` (both
        above 0).
        """
        return float(barely * (obvious / barely) ** self.severity)


@dataclass(frozen=True, slots=True)
class PartKind:
    """One category: its defect types, and the renderer of its surface.

    render(generator of the scene, size, defect or None) -> reflectance (size, size, 3), 0 to 1.
    What is drawn from the scene's generator does not depend on the defect, so that two calls show
    the same part with and without it.
    """

    defects: tuple[str, ...]
    render: Callable[[Generator, int, Defect | None], Field]


def with_defect(
    thing: T, defect: Defect | None, draw: Mapping[str, Callable[..., T]], *frame: Any
) -> T:
    """`thing` with the defect drawn on it by draw[kind](thing, *frame, defect); as it is where the
    defect is none of these.
    """
    if defect is None or defect.kind not in draw:
        return thing
    return draw[defect.kind](thing, *frame, defect)
