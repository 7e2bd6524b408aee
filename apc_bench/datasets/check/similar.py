"""Photos that look alike: a perceptual hash, and the groups that follow from it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16
NEAR = 16
"""Bits of SIDE² that two photos of one thing may differ in [ours; measured on the magnetic tiles,
docs/own-parts.md].
"""

_CHUNK = 128


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 -> (32,) uint8: for each cell of a 16 × 16 grid whether it is darker than its
    right neighbour (dHash).
    """
    small = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    values = np.asarray(small).astype(np.int16)
    return np.packbits(values[:, 1:] > values[:, :-1])


def alike(hashes: Sequence[NDArray[np.uint8]], near: int = NEAR) -> list[list[int]]:
    """Positions of photos that are joined by chains of pairs at most `near` bits apart; only groups
    of two or more, in order.
    """
    if len(hashes) < 2:
        return []
    stacked = np.stack(hashes)
    firsts, seconds = [], []
    for start in range(0, len(stacked), _CHUNK):
        distance = np.bitwise_count(stacked[start : start + _CHUNK, None] ^ stacked[None]).sum(
            axis=2, dtype=np.int32
        )
        first, second = np.nonzero(distance <= near)
        firsts.append(first + start)
        seconds.append(second)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    graph = coo_array(
        (np.ones(len(first), bool), (first, second)), shape=(len(stacked), len(stacked))
    )
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        groups.setdefault(int(label), []).append(position)
    return [group for group in groups.values() if len(group) > 1]
