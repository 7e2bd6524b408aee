"""What a category's masks mean: which channel speaks, and whether its values are levels, label ids
or colours. Decided over all masks, since one alone cannot say whether its 50 is a defect.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from apc_bench.datasets.encoding import MaskEncoding
from apc_bench.datasets.mask_planes import Planes, brightest

FEW = 32
"""Values, or colours, up to which a mask was drawn with them; soft edges and lossy files have
more.
"""

NEAR_GREY = 16
"""Levels that the channels of a grey pixel may differ in where a file has many colours."""

NEAR_BACKGROUND = 64
"""Distance from the background, of 255, within which soft edges and the noise of a lossy file
count as background.
"""

Speaks = str
"""Where a mask's meaning lies: 'colour', 'alpha', 'both' alike, 'neither' (nothing varies), or why
that cannot be told.
"""

UNCLEAR = "its colours and its alpha do not mark the same pixels"
PHOTO = "has the many shades of a photo, where a mask has two"
NO_BACKGROUND = "has colours, but neither a black nor a white background as the others have"
BY_ALPHA = "marks by its alpha, where other masks of the category mark by colour"


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What a mask file holds. `size`: height and width. `speaks`: see Speaks. `coloured`: whether
    some pixel is not grey. `levels`: grey values, None for more than FEW. `flat`: those that fill
    a square of 3 × 3 pixels. `largest`: value. `black`, `white`: pixels of these colours.
    `few`: colours. `plain`, `orientation`: as in Planes.
    """

    size: tuple[int, int]
    speaks: Speaks
    coloured: bool
    levels: tuple[int, ...] | None
    flat: tuple[int, ...]
    largest: int
    black: int
    white: int
    few: bool
    plain: bool
    orientation: int


def encoding_of_masks(facts: Mapping[str, MaskFacts]) -> tuple[MaskEncoding, dict[str, str]]:
    """What masks mean; and which of them have no clear meaning, and why."""
    refused, in_colour, in_alpha = {}, {}, []
    for name, fact in facts.items():
        match fact.speaks:
            case "colour":
                in_colour[name] = fact
            case "alpha":
                in_alpha.append(name)
            case "both" | "neither":
                pass
            case why:
                refused[name] = why
    if in_colour:
        refused |= dict.fromkeys(in_alpha, BY_ALPHA)
    elif in_alpha or any(fact.speaks == "both" for fact in facts.values()):
        return MaskEncoding("alpha"), refused
    if any(fact.coloured for fact in in_colour.values()):
        encoding, unclear = _coloured(in_colour)
        return encoding, refused | unclear
    spoken = [fact for name, fact in facts.items() if name not in refused]
    return _grey(spoken), refused


def _coloured(facts: Mapping[str, MaskFacts]) -> tuple[MaskEncoding, dict[str, str]]:
    """Masks of colours on a background: black or white, whichever more of them have, and of those
    that have both the larger.
    """
    votes = {"black": 0, "white": 0}
    for fact in facts.values():
        votes["black"] += fact.black >= max(1, fact.white)
        votes["white"] += fact.white > fact.black
    background: Literal["black", "white"] = "white" if votes["white"] > votes["black"] else "black"
    without = [name for name, fact in facts.items() if not getattr(fact, background)]
    tolerance = 0 if all(fact.few for fact in facts.values()) else NEAR_BACKGROUND
    encoding = MaskEncoding(meaning=background, tolerance=tolerance)
    return encoding, dict.fromkeys(without, NO_BACKGROUND)


def _grey(facts: Collection[MaskFacts]) -> MaskEncoding:
    """Masks of grey values. They are label ids where none is of the upper half; or where all were
    drawn with few values, and a low one fills an area, which the soft edge of a defect does not.
    """
    top: Literal[255, 65535] = 65535 if any(fact.largest > 255 for fact in facts) else 255
    half = 128 * (top // 255)
    largest = max((fact.largest for fact in facts), default=0)
    if 0 < largest < half:
        return MaskEncoding(meaning="ids", top=top)
    values: set[int] = set()
    for fact in facts:
        if fact.levels is None:
            return MaskEncoding(top=top)
        values.update(fact.levels)
    low = any(0 < value < half for fact in facts for value in fact.flat)
    drawn = len(values) <= FEW
    return MaskEncoding(meaning="ids" if low and drawn else "levels", top=top)


def facts_of(planes: Planes) -> MaskFacts:
    """What a mask file holds."""
    colours, grey = planes.colours, planes.colours.ndim == 2
    few = grey or Image.fromarray(colours).getcolors(FEW) is not None
    speaks = _speaks(planes, few=few)
    coloured = False
    if not grey:
        spread = colours.max(axis=2).astype(np.int16) - colours.min(axis=2)
        coloured = bool((spread > (0 if few else NEAR_GREY)).any())
    levels = planes.levels()
    found = np.unique(levels)
    flat: list[int] = []
    if len(found) <= FEW:
        same = maximum_filter(levels, 3) == minimum_filter(levels, 3)
        flat = np.unique(levels[same]).tolist()
    least = colours if grey else colours.min(axis=2)
    near = 0 if few else NEAR_BACKGROUND
    return MaskFacts(
        size=levels.shape[:2],
        speaks=speaks,
        coloured=coloured,
        levels=tuple(found.tolist()) if len(found) <= FEW else None,
        flat=tuple(flat),
        largest=int(found.max(initial=0)),
        black=int((levels <= near).sum()),
        white=int((least >= 255 - near).sum()),
        few=few,
        plain=planes.plain and not coloured,
        orientation=planes.orientation,
    )


def _speaks(planes: Planes, *, few: bool) -> Speaks:
    colours, alpha = planes.colours, planes.alpha
    if alpha is None or _constant(alpha):
        if _constant(colours):
            return "neither"
        return PHOTO if _shades_of_a_photo(planes.levels()) else "colour"
    if alpha.min() >= 64 or alpha.max() < 192:
        return UNCLEAR
    opaque = alpha >= 128
    seen = brightest(np.where(opaque[..., None], colours, 0)) >= 1
    if (seen == opaque).all() and few:
        return "both"
    # A cut-out of the photo, or black that is opaque.
    own = colours[opaque]
    return "alpha" if not few or _constant(own) else UNCLEAR


def _constant(values: NDArray[np.generic]) -> bool:
    flat = values.reshape(-1, values.shape[-1]) if values.ndim != 2 else values.reshape(-1, 1)
    return bool((flat == flat[:1]).all())


def _shades_of_a_photo(levels: NDArray[np.uint16]) -> bool:
    """Whether the values spread as a photo's do: over many shades, not around black or white and
    one more. Soft edges and lossy files have many shades in few pixels.
    """
    top = 65535 if levels.max(initial=0) > 255 else 255
    shades = np.bincount((levels // (top // 255)).ravel(), minlength=256)
    if (shades > 0).sum() <= FEW:
        return False
    commonest = int(shades.argmax())
    if 16 <= commonest <= 239:
        return True
    others = shades.copy()
    others[:16] = others[240:] = 0
    second = int(others.argmax())
    others[max(0, second - 12) : second + 13] = 0
    between = int(others.sum())
    marked = int(shades[16:].sum() if commonest < 16 else shades[:240].sum())
    return between > 0.05 * levels.size and between > 0.5 * marked
