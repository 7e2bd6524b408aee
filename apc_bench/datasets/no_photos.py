"""Masks and drawings among photos, by their pixels: what names do not say (pairing.py)."""

from collections.abc import Mapping

import numpy as np

from apc_bench.datasets.geometry import RGB

FEW = 4
"""Colours of what is no photo at most; a camera's noise makes more [ours]."""

_STRIDE = 61
WHY = (
    f"no photo: {FEW} colours or fewer, as in masks; move masks to ground_truth/TYPE (or masks/TYPE"
    " beside good and bad)"
)


def few_colours(pixels: RGB) -> int | None:
    """How many colours an image (h, w, 3) uint8 has; None for more than FEW."""
    flat = pixels.reshape(-1, 3)
    # Some of a photo's pixels are enough to see that it is one.
    for some in (flat[::_STRIDE], flat):
        red, green, blue = some.astype(np.uint32).T
        colours = len(np.unique(red << 16 | green << 8 | blue))
        if colours > FEW:
            return None
    return colours


def no_photos(few: Mapping[str, bool]) -> dict[str, str]:
    """Image -> why it is no photo, of a category's images (-> whether it has few colours): none
    where more than half of them have, as photos of silhouettes do.
    """
    suspects = [name for name, has_few in few.items() if has_few]
    return dict.fromkeys(suspects, WHY) if 2 * len(suspects) <= len(few) else {}
