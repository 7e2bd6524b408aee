"""How what takes long says how far it is."""

from typing import Protocol, SupportsFloat


class Progress(Protocol):
    """Told of each batch or step that is done: `done` of `total` of a stage such as 'features',
    rising to the total. A training adds its `loss`, a number or a tensor of one, which is read now
    and then alone: on a GPU that waits for it.
    """

    def __call__(
        self, stage: str, done: int, total: int, loss: SupportsFloat | None = None, /
    ) -> None: ...


def untold(stage: str, done: int, total: int, loss: SupportsFloat | None = None, /) -> None:
    """Tells nobody."""
