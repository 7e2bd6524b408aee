"""Two halves of the normal training images, for the question whether fine-tuning and memory bank
should share them.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from apc_bench.detectors.protocol import Images, Training
from apc_bench.errors import TrainingError

Normals = Literal["shared", "separate", "half"]
"""Who learns from which half (settings/detectors.py, ApcSettings)."""


def finetuning_part(data: Training, normals: Normals) -> Training:
    """`data` with the normal images that the fine-tuning learns from: all learnable ones where they
    are shared, else those of the first half. Raises TrainingError where there are none.
    """
    if normals == "shared":
        return data
    first, _ = split_normals(data.normal, data.seed)
    both = np.isin(data.learnable.rows, first.rows)
    return replace(data, learnable=_some(data.learnable.at(np.flatnonzero(both)), normals))


def bank_images(data: Training, normals: Normals) -> Images:
    """The normal images that the memory bank is filled from: all of them where they are shared, the
    second half where they are separate, else the first. Raises TrainingError where there are none.
    """
    if normals == "shared":
        return data.normal
    first, second = split_normals(data.normal, data.seed)
    return _some(second if normals == "separate" else first, normals)


def _some(images: Images, normals: Normals) -> Images:
    if not images:
        raise TrainingError(
            f"normals: {normals} splits the normal images by their groups, and leaves none to learn"
            " from or none for the memory bank: there are too few groups; set normals: shared"
        )
    return images


def split_normals(images: Images, seed: int) -> tuple[Images, Images]:
    """Two halves of the images, the same for a seed.

    Whole groups at random, each to the half that has fewer images yet; a single group stays in the
    first. Either keeps the images' order.
    """
    names = sorted(set(images.groups))
    order = [names[index] for index in np.random.default_rng([seed, 1]).permutation(len(names))]
    first: set[str] = set()
    counts = [0, 0]
    for group in order:
        half = 1 if counts[1] < counts[0] else 0
        counts[half] += images.groups.count(group)
        if half == 0:
            first.add(group)
    in_first = np.array([group in first for group in images.groups], bool)
    return images.at(np.flatnonzero(in_first)), images.at(np.flatnonzero(~in_first))
