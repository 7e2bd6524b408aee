"""From mask files to anomalous pixels (docs/method.md section 5, "Masks")."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apc_bench.datasets.encoding import Encoding, MaskEncoding
from apc_bench.datasets.geometry import Mask
from apc_bench.datasets.images import glance, opened, turned
from apc_bench.datasets.mask_encoding import encoding_of_masks, facts_of
from apc_bench.datasets.mask_planes import Planes, planes_of
from apc_bench.errors import DataError
from apc_bench.wording import counted


def read_mask(path: Path, encoding: MaskEncoding | None, *, turn: int = 1) -> Mask:
    """Decodes a mask file to (h, w) bool by its category's encoding; None: by what the file alone
    says. Turned as its own EXIF data asks, and by `turn` (turn_of).

    Raises DataError that names the file and says why.
    """
    planes = read_planes(path)
    if encoding is None:
        encoding, _ = encoding_of_masks({"": facts_of(planes)})
    return upright_pixels(planes, encoding, turn)


def read_masks(
    folder: Path,
    image: str,
    masks: Sequence[str],
    encoding: Encoding,
    *,
    size: tuple[int, int] | None = None,
) -> Mask:
    """The masks of one image, united: (h, w) bool, anomalous where any of them is; paths relative
    to the category's folder. `size`: height and width of the image; None for those of the first
    mask.

    Raises DataError that names a file that cannot be read, or is of another size.
    """
    turn = turn_of(folder, image, encoding)
    united: Mask | None = None
    for name in masks:
        mask = read_mask(folder / name, encoding.masks, turn=turn)
        size = size or mask.shape
        if mask.shape != size:
            raise DataError(
                f"{folder / name}: mask of {mask.shape[1]} × {mask.shape[0]} pixels for an image of"
                f" {size[1]} × {size[0]}"
            )
        united = mask if united is None else united | mask
    assert united is not None
    return united


def turn_of(folder: Path, image: str, encoding: Encoding) -> int:
    """EXIF's orientation by which an image's masks are turned with it: they were drawn on the photo
    as it is stored. 1 where they were not.
    """
    return glance(folder / image).orientation if image in encoding.stored else 1


def read_planes(path: Path) -> Planes:
    """What a mask file holds. Raises DataError that names the file and says why."""
    return opened(path, planes_of)


def upright_pixels(planes: Planes, encoding: MaskEncoding, turn: int = 1) -> Mask:
    """A mask's anomalous pixels (h, w) bool, turned as in `read_mask`."""
    pixels = Image.fromarray(anomalous_pixels(planes, encoding))
    for orientation in (planes.orientation, turn):
        pixels = turned(pixels, orientation)
    return np.asarray(pixels).astype(bool)


def anomalous_pixels(planes: Planes, encoding: MaskEncoding) -> Mask:
    """A mask's anomalous pixels (h, w) bool, as it is stored."""
    if encoding.channel == "alpha" and planes.alpha is not None:
        opaque: Mask = planes.alpha >= 128
        return opaque
    if encoding.meaning in ("black", "white"):
        background = 255 if encoding.meaning == "white" else 0
        distance = np.abs(planes.colours.astype(np.int32) - background)
        if distance.ndim == 3:
            distance = distance.max(axis=2)
        other: Mask = distance > encoding.tolerance
        return other
    # 32896 is to 65535 what 128 is to 255.
    least = 1 if encoding.meaning == "ids" else 128 * (encoding.top // 255)
    high: Mask = planes.levels() >= least
    return high


def suspicious_masks(types: Sequence[str], shares: Sequence[float]) -> Iterator[str]:
    """Warnings of masks that may be the wrong way round. `types`, `shares`: of each mask the defect
    type, and its anomalous part of the image.
    """
    whole = sum(share == 1 for share in shares)
    if whole:
        yield f"{counted(whole, 'mask')} wholly anomalous"
    for kind in sorted(set(types)):
        own = [share for of_type, share in zip(types, shares, strict=True) if of_type == kind]
        large = sum(share > 0.5 for share in own)
        if large > len(own) / 2:
            of_all = f"{large} of {counted(len(own), 'mask')} of {kind}"
            yield f"{of_all} mark more than half of the image: are they the wrong way round?"
