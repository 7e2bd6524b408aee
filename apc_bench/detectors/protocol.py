"""What a detector is: trained or frozen, fitted to normal images, then asked for scores. It never
sees labels of what it scores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.networks.progress import Progress, untold
from apc_bench.settings.sweep import Method

Memo = Callable[
    [str, tuple[int, ...], Callable[[NDArray[np.float32]], None]], NDArray[np.float32] | None
]
"""`memo(key, shape, fill)`: a float32 array of that shape which `fill` has filled once for this
category and environment, memory-mapped; None: no room for it.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Some images of a category: `rows` of its decoded array (n, 3, s, s) uint8, which may be
    memory-mapped. `names`, `groups`: of these rows. `made`: on the spot, such as changed views: the
    array is no category's, and nothing of it is in a cache.
    """

    array: NDArray[np.uint8]
    rows: NDArray[np.int64]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    made: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, positions: Sequence[int] | NDArray[np.int64]) -> "Images":
        """Some of them, by position."""
        chosen = np.asarray(positions, np.int64)
        names = tuple(self.names[position] for position in chosen)
        groups = tuple(self.groups[position] for position in chosen)
        return replace(self, rows=self.rows[chosen], names=names, groups=groups)

    def pixels(self, positions: slice = slice(None)) -> NDArray[np.uint8]:
        """Those at `positions`, in memory: (n, 3, s, s) uint8."""
        return self.array[self.rows[positions]]

    def batches(self, size: int) -> Iterator[slice]:
        """Slices of positions, `size` at a time."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """All that a detector may learn from.

    `normal`: all normal training images, for a memory bank. `calibration`: those of them that no
    training may see, whole groups, which give the threshold, each against a bank without its group;
    none where all are of one group; None for a frozen detector, which calibrates on all of `normal`
    so. `learnable`: the others, for a training. `masks` (k, s, s) bool and `masked` (k,) bool,
    whether a mask is known, belong to `anomalous`. `device`: torch's name of it. `mixed_precision`:
    whether a training may run in bfloat16. `progress`: is told how far the detector is, where it
    tells.
    """

    normal: Images
    learnable: Images
    calibration: Images | None
    anomalous: Images
    masks: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    seed: int
    device: str
    mixed_precision: bool
    memo: Memo
    progress: Progress = untold


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A fine-tuned extractor: its weights as safetensors bytes, its training curves as rows (the
    columns of store/schemas.py, TRAINING, each where there is a value) and what a reader must know.
    """

    weights: bytes
    curves: Sequence[Mapping[str, float | None]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Of n images: anomaly maps (n, rows, columns) float32 on the detector's grid, image scores
    (n,) float32, the worst patch (n, 2) int64 row and column, and of the normal patch that it was
    compared with (n, 3) int64 position in `Training.normal`, row and column, with the squared
    distance (n,) float32; None without a bank. Images that calibrate may have maps of no pixel, (n,
    0, 0): only their scores count.
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    worst: NDArray[np.int64]
    nearest: NDArray[np.int64] | None = None
    nearest_distance: NDArray[np.float32] | None = None

    @classmethod
    def join(cls, parts: "Sequence[Scored]") -> "Scored":
        """One after another; without nearest vectors where a part has none. Of no part: the scores
        of no image.
        """
        if not parts:
            none = np.zeros(0, np.float32)
            return cls(np.zeros((0, 0, 0), np.float32), none, np.zeros((0, 2), np.int64))
        nearest = [part.nearest for part in parts if part.nearest is not None]
        distance = [part.nearest_distance for part in parts if part.nearest_distance is not None]
        return cls(
            np.concatenate([part.maps for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.worst for part in parts]),
            np.concatenate(nearest) if len(nearest) == len(parts) else None,
            np.concatenate(distance) if len(distance) == len(parts) else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """Seconds that fitting spent on features and on the memory bank."""

    features: float = 0.0
    bank: float = 0.0


class Fitted(Protocol):
    """A detector that is ready to score. `unit`: of the maps, 'squared distance', 'distance',
    'logit' or 'standard score'.
    """

    @property
    def unit(self) -> str:
        """Of the maps."""

    @property
    def sigma(self) -> float:
        """Of the Gaussian that smooths the maps at input size, in pixels of the input; 0: none."""

    @property
    def bank(self) -> MemoryBank | None:
        """The memory bank that images are compared with; None without one."""

    @property
    def timings(self) -> Timings:
        """What fitting took."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know, a sentence each."""

    def score(self, images: Images) -> Scored:
        """Scores images that took no part in the training."""

    def calibrate(self) -> tuple[Images, Scored]:
        """Scores normal images as if they had taken no part: the calibration images, or each
        training image without its own group. Of none, where there is nothing else to compare with.
        """


@runtime_checkable
class Controlled(Fitted, Protocol):
    """One that calibrates on held-out images alone, and knows of the others how far they are from
    its memory bank (docs/method.md section 5).
    """

    def control(self) -> tuple[Images, Scored]:
        """The normal images that were learned from, with the distances to the nearest vectors of
        the bank without their group, and without maps; NaN is the score of what was not scored.
        """


class Detector(Protocol):
    """One system. Built from its method and the file of its backbone's weights (with the file's
    sha256).
    """

    def __init__(self, method: Method, weights: Path, sha256: str) -> None: ...

    def train(self, data: Training) -> Trained:
        """Fine-tunes; only called where the settings say `fine_tuned`."""

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Fits to normal images; `trained`: the safetensors file that `train` gave, None for a
        frozen detector.
        """
