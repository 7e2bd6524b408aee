"""Two halves of the normal training images, for the question whether fine-tuning and memory bank
should share them.
"""

from dataclasses import replace

import numpy as np

from apc_bench.detectors.protocol import Images, Training


def for_tuning(data: Training, normals: str) -> Training:
    """What the fine-tuning learns from; `normals`: detector_settings.ApcSettings."""
    return data if normals == "shared" else replace(data, normal=halves(data.normal, data.seed)[0])


def for_bank(data: Training, normals: str) -> Training:
    """What the memory bank is filled from."""
    return (
        data
        if normals == "shared"
        else replace(data, normal=halves(data.normal, data.seed)[normals == "separate"])
    )


def halves(images: Images, seed: int) -> tuple[Images, Images]:
    """Whole groups at random, each to the half that has fewer images yet; a single group stays in
    the first.
    """
    names = sorted(set(images.groups))
    order = [names[index] for index in np.random.default_rng([seed, 1]).permutation(len(names))]
    first: set[str] = set()
    counts = [0, 0]
    for group in order:
        side = int(counts[1] < counts[0])
        counts[side] += images.groups.count(group)
        if side == 0:
            first.add(group)
    of_first = np.array([group in first for group in images.groups], bool)
    return _chosen(images, of_first), _chosen(images, ~of_first)


def _chosen(images: Images, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Images:
    positions = np.flatnonzero(chosen)
    names, groups = (
        tuple(values[position] for position in positions)
        for values in (images.names, images.groups)
    )
    return Images(images.array, images.rows[positions], names, groups)
