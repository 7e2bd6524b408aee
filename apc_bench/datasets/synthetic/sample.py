"""One sample of the synthetic dataset: a picture, the same picture without its defect, and the mask
of what differs.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from apc_bench.datasets.synthetic.camera import Camera
from apc_bench.datasets.synthetic.connector import CONNECTOR
from apc_bench.datasets.synthetic.fields import Field
from apc_bench.datasets.synthetic.granite import GRANITE
from apc_bench.datasets.synthetic.scene import Defect, PartKind
from apc_bench.datasets.synthetic.washer import WASHER
from apc_bench.datasets.synthetic.weave import WEAVE

GOOD = "good"
REGISTRY: dict[str, PartKind] = {
    "weave": WEAVE,
    "granite": GRANITE,
    "washer": WASHER,
    "connector": CONNECTOR,
}

# Severities of obvious, moderate and barely visible defects: sample i of a type has grade i modulo
# 3.
_GRADES = ((0.85, 1.0), (0.5, 0.65), (0.05, 0.2))
# A change of fewer grey levels is lost in the noise, and is taken back rather than marked.
_VISIBLE = 3.0
_ATTEMPTS = 20


class PictureKey(NamedTuple):
    """All that a picture depends on, beside its size. `kind`: good or a defect type."""

    seed: int
    category: str
    split: str
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Rendering:
    """image, clean: (size, size, 3) uint8, with and without the defect; they differ inside `mask`
    (size, size) bool only.
    """

    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def generator(*key: object) -> Generator:
    """The random generator of one purpose: its state is a hash of the key, so it depends on nothing
    else.
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def render(key: PictureKey, size: int) -> Rendering:
    """The picture of this key, (size, size)."""
    camera = Camera.draw(generator(*key, "camera"), size)
    clean = camera.develop(_surface(key, size, None))
    if key.kind == GOOD:
        picture = camera.expose(clean)
        return Rendering(picture, picture, np.zeros((size, size), dtype=np.bool_))
    defective, mask = _with_visible_defect(key, size, camera, clean)
    return Rendering(camera.expose(defective), camera.expose(clean), mask)


def _surface(key: PictureKey, size: int, defect: Defect | None) -> Field:
    return REGISTRY[key.category].render(generator(*key, "scene"), size, defect)


def _with_visible_defect(
    key: PictureKey, size: int, camera: Camera, clean: Field
) -> tuple[Field, NDArray[np.bool_]]:
    """The developed picture with its defect, and the mask. A defect too small to survive a
    nearest-neighbour resize to 64 pixels (as where it falls on ground of its own colour) is placed
    anew, a little more severe each time.
    """
    smallest = np.ones((max(1, size // 64),) * 2)
    for attempt in range(_ATTEMPTS):
        rng = generator(*key, "defect", attempt)
        severity = rng.uniform(*_GRADES[key.number % len(_GRADES)]) + attempt / _ATTEMPTS
        defect = Defect(key.kind, min(1.0, severity), rng)
        developed = camera.develop(_surface(key, size, defect))
        mask = changed(clean, developed)
        if ndimage.binary_erosion(mask, smallest).any():
            return np.where(mask[:, :, None], developed, clean), mask
    raise RuntimeError(
        f"no visible defect in {_ATTEMPTS} attempts for {tuple(key)} at {size} pixels"
    )


def changed(clean: Field, developed: Field) -> NDArray[np.bool_]:
    """Where two developed pictures (h, w, 3) differ visibly, with gaps of a pixel and enclosed
    areas filled: (h, w).
    """
    differs = np.abs(developed - clean).max(axis=2) > _VISIBLE
    closed = ndimage.binary_closing(np.pad(differs, 1), np.ones((3, 3)))[1:-1, 1:-1]
    return np.asarray(ndimage.binary_fill_holes(closed | differs), dtype=np.bool_)
