"""Photos that look alike: their hashes are near and their details bear it out; and the groups that
follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE, FINE = 16, 32
"""Cells of a side: of the hash, and of the details."""
NEAR = 20
"""Bits of SIDE² that two photos of one thing may differ in [ours; this and the next ones were
measured on the magnetic tiles and on MVTec's screw, docs/own-parts.md].
"""
NEARER = 0.7
"""How far apart in details two such photos may be, as a share of how far either is from the
likest photo that shows something else.
"""
SIGMA = 1.0
"""Cells: what is smoother is light and shape, and no detail."""
PHOTOS_OF_A_PART = 6
"""Beyond as many, the likest photos are taken to show something else too."""
MANY, SAME = 12, 0.05
"""With so many near hashes it is the category that looks so: then details must be the same, up to
such a distance.
"""
OWN_LOOK_FROM = 16
"""Photos from which on a category's mean says how its parts look."""

_CHUNK = 128

Details = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A photo in little: `hash` (32,) uint8, whether each cell of a 16 × 16 grid is darker than its
    right neighbour (dHash); `details` (1024,) float16, a 32 × 32 grid without what is smooth.
    """

    hash: NDArray[np.uint8]
    details: NDArray[np.float16]


def sketch(grey: NDArray[np.uint8]) -> Sketch:
    """Of a photo (h, w) uint8."""
    image = Image.fromarray(grey)
    coarse = image.resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(coarse).astype(np.int16)
    fine = np.asarray(image.resize((FINE, FINE), Image.Resampling.BOX)).astype(np.float32)
    details = (fine - gaussian_filter(fine, SIGMA)).ravel()
    return Sketch(np.packbits(cells[:, 1:] > cells[:, :-1]), _scaled(details).astype(np.float16))


def alike(sketches: Sequence[Sketch]) -> list[list[int]]:
    """Positions of photos that are joined by chains of pairs that look alike; only groups of two or
    more, in order.

    A pair's hashes are at most NEAR bits apart, and its details, less the category's mean, much
    nearer to each other than either's to any photo that shows something else: of parts that are
    merely aligned, or turned alike, many are as near.
    """
    if len(sketches) < 2:
        return []
    first, second = _pairs(sketches)
    shape = (len(sketches), len(sketches))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=shape)
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        groups.setdefault(int(label), []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(sketches: Sequence[Sketch]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that look alike, by position."""
    firsts, seconds, distances = [], [], []
    others, many = np.empty(len(sketches), np.float32), np.empty(len(sketches), bool)
    for start, near, distance in _compared(sketches):
        stop = start + len(near)
        likest = np.sort(np.where(near, distance, np.inf), axis=1)[:, :PHOTOS_OF_A_PART]
        apart = np.where(near & (distance <= likest[:, -1:]), np.inf, distance)
        others[start:stop] = apart.min(axis=1)
        many[start:stop] = near.sum(axis=1) > MANY
        first, second = np.nonzero(near)
        firsts.append(first + start)
        seconds.append(second)
        distances.append(distance[first, second])
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    most = NEARER * np.minimum(others[first], others[second])
    most = np.where(many[first] | many[second], np.minimum(most, SAME), most)
    kept = np.concatenate(distances) <= most
    return first[kept], second[kept]


def _compared(
    sketches: Sequence[Sketch],
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]:
    """By chunks of photos: the first one's position, whether the hash of each other one is near
    (chunk, n), itself not among them, and how far its details are: 1 - correlation (chunk, n).
    """
    hashes = np.stack([one.hash for one in sketches])
    details = np.stack([one.details for one in sketches]).astype(np.float32)
    if len(details) >= OWN_LOOK_FROM:
        details = _scaled(details - details.mean(axis=0))
    for start in range(0, len(hashes), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        bits = np.bitwise_count(hashes[chunk, None] ^ hashes[None]).sum(axis=2, dtype=np.int32)
        near, distance = bits <= NEAR, 1 - details[chunk] @ details.T
        own = np.arange(len(near))
        near[own, own + start] = False
        distance[own, own + start] = np.inf
        yield start, near, np.maximum(distance, 0)


def _scaled(details: Details) -> Details:
    """(…, n) -> the same of mean 0 and length 1; of what has no details, zeros."""
    details = details - details.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(details, axis=-1, keepdims=True)
    scaled: Details = details / np.maximum(length, 1e-6)
    return scaled
