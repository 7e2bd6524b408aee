"""A few images of a dataset, decoded in memory: what measurements of speed work on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from apc_bench.datasets.decoding import Decoded, decode_into
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.samples import Category, Sample
from apc_bench.detectors.protocol import Images, Memo, Training
from apc_bench.settings.sweep import Sweep

NORMAL, ANOMALOUS = 8, 4
"""Images that are decoded at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """`decoded`: of n images half are normal ones to learn from, then a quarter to calibrate with,
    then a quarter anomalous.
    """

    decoded: Decoded

    def __len__(self) -> int:
        return len(self.decoded.images)

    @property
    def images(self) -> Images:
        """All of them, as images that took no part in a training."""
        images = self._at(range(len(self)))
        return replace(images, groups=tuple(f"new {name}" for name in images.names))

    @property
    def anomalous(self) -> list[int]:
        """The rows of the anomalous ones."""
        return list(range(len(self) - len(self) // 4, len(self)))

    def training(self, normal: int, sweep: Sweep, memo: Memo, *, fine_tuned: bool) -> Training:
        """What a detector may learn from, with the first `normal` of the normal images; a
        fine-tuned one calibrates with others.
        """
        drawn = self.anomalous
        held_out = range(len(self) // 2, drawn[0]) if fine_tuned else range(0)
        return Training(
            normal=self._at([*range(normal), *held_out]),
            learnable=self._at(range(normal)),
            calibration=self._at(held_out) if fine_tuned else None,
            anomalous=self._at(drawn),
            masks=self.decoded.masks[drawn],
            masked=self.decoded.mask_state[drawn] == "present",
            seed=0,
            device=sweep.device,
            mixed_precision=sweep.precision == "bfloat16",
            memo=memo,
        )

    def _at(self, rows: Sequence[int]) -> Images:
        names = tuple(str(row) for row in rows)
        return Images(self.decoded.images, np.array(rows, np.int64), names, names)


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Decoded images of a category, the normal ones first, and the seconds of one core that each
    took.
    """

    decoded: Decoded
    normal: int
    seconds: float

    def examples(self, count: int) -> Examples:
        """As many examples as asked for, a multiple of four: what there is, over and over."""
        normal = np.arange(count - count // 4) % self.normal
        others = len(self.decoded.images) - self.normal
        anomalous = self.normal + np.arange(count // 4) % others
        rows = np.concatenate([normal, anomalous])
        whole = self.decoded
        arrays = (whole.images, whole.masks, whole.placement, whole.mask_state)
        return Examples(Decoded(*(array[rows] for array in arrays)))


def pictures(category: Category, sweep: Sweep) -> Pictures:
    """Decodes a few of a category's images. One that cannot be read stays black: that is said when
    the sweep starts.
    """
    normal = [sample for sample in category.samples if sample.training and not sample.anomalous]
    others = [sample for sample in category.samples if sample.anomalous]
    few: tuple[Sample, ...] = (*normal[:NORMAL], *others[:ANOMALOUS])
    count, size = len(few), sweep.image_size
    images = np.zeros((count, 3, size, size), np.uint8)
    masks = np.zeros((count, size, size), np.bool_)
    geometry = Geometry.of(sweep)
    started = time.process_time()
    placement, state, _ = decode_into(
        replace(category, samples=few), geometry, images, masks, threads=1
    )
    seconds = (time.process_time() - started) / count
    return Pictures(Decoded(images, masks, placement, state), len(normal[:NORMAL]), seconds)
