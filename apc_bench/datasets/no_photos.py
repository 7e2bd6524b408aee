"""Masks and drawings among photos, by their pixels: what names do not say (pairing.py)."""

from collections.abc import Mapping

from PIL import Image

FEW = 4
"""Colours of what is no photo at most; a camera's noise makes more [ours]."""

WHY = (
    f"no photo: {FEW} colours or fewer, as in masks; move masks to ground_truth/TYPE (or masks/TYPE"
    " beside good and bad)"
)


def few_colours(photo: Image.Image) -> int | None:
    """How many colours an RGB image has; None for more than FEW."""
    colours = photo.getcolors(FEW)
    return None if colours is None else len(colours)


def no_photos(few: Mapping[str, bool]) -> dict[str, str]:
    """Image -> why it is no photo, of a category's images (-> whether it has few colours): none
    where more than half of them have, as photos of silhouettes do.
    """
    suspects = [name for name, has_few in few.items() if has_few]
    return dict.fromkeys(suspects, WHY) if 2 * len(suspects) <= len(few) else {}
