"""Findings on masks: whose they are, and whether they fit."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from apc_bench.datasets.check.files import CategoryFiles
from apc_bench.datasets.check.findings import ERROR, NOTE, WARNING, Finding, about
from apc_bench.datasets.check.inspect import Inspected, MaskLook, Photo
from apc_bench.datasets.masks import suspicious_masks
from apc_bench.datasets.samples import GOOD


def partner_findings(files: CategoryFiles) -> Iterator[Finding]:
    """Masks and images that have no partner, or several."""
    stray = (
        "masks that belong to no image; a mask is called NAME_mask.png or NAME.png after its image"
    )
    pairs, bare_images = files.pairs, dict.fromkeys(files.bare, "")
    yield from about(ERROR, "stray mask", stray, pairs.strays)
    yield from about(ERROR, "ambiguous mask", "masks that cannot be told apart", pairs.several)
    if files.masks:
        bare = "anomalous images without a mask count at the image level only"
        yield from about(WARNING, "no mask", bare, bare_images)
    elif bare_images:
        none = f"none of the {len(bare_images)} anomalous images has a mask"
        if len(bare_images) == 1:
            none = "the only anomalous image has no mask"
        yield Finding(NOTE, "no masks", f"{none}: image-level metrics only")


MASK_FAULTS = {
    "mask size": (ERROR, "masks of another size than their image"),
    "grey mask": (
        NOTE,
        "masks of more than two values: 128 or more of 255 is anomalous, any above 0 where a"
        " category's are label ids",
    ),
    "empty mask": (
        WARNING,
        "masks without an anomalous pixel: their images count at the image level only",
    ),
    "emptied mask": (
        WARNING,
        "masks that the resize would empty: their images count at the image level only",
    ),
    "mask of a good image": (
        WARNING,
        "masks of normal images hold anomalous pixels; a sweep does not read them",
    ),
}
"""What can be wrong with a mask that can be read: level and text."""


def mask_findings(
    files: CategoryFiles, facts: Mapping[str, Inspected], refused: Collection[str]
) -> Iterator[Finding]:
    """Masks that do not fit their image, are grey, or empty before or after the resize. `refused`:
    those without a clear meaning, of which that says enough.
    """
    faults: dict[str, dict[str, str]] = defaultdict(dict)
    owner = files.pairs.owner
    for kind, names in files.masks.items():
        for name in names:
            mask = facts[name]
            if isinstance(mask, MaskLook) and name not in refused:
                image = facts[owner[name]] if name in owner else None
                for fault, more in _faults(mask, image, good=kind == GOOD):
                    faults[fault][name] = more
    for fault, (level, text) in MASK_FAULTS.items():
        yield from about(level, fault, text, faults[fault])


def large_masks(files: CategoryFiles, facts: Mapping[str, Inspected]) -> Iterator[Finding]:
    """Masks that mark so much that they may be the wrong way round."""
    types, shares = [], []
    for kind, names in files.masks.items():
        for name in names:
            mask = facts[name]
            if isinstance(mask, MaskLook):
                types.append(kind)
                shares.append(mask.share)
    for text in suspicious_masks(types, shares):
        yield Finding(WARNING, "large masks", text)


def _faults(mask: MaskLook, image: Inspected | None, *, good: bool) -> Iterator[tuple[str, str]]:
    """Which of MASK_FAULTS a mask has, and more about it."""
    if isinstance(image, Photo) and image.size != mask.size:
        yield "mask size", f"{_size(mask.size)}, its image is {_size(image.size)}"
    if mask.levels > 2:
        yield "grey mask", f"{mask.levels} grey levels"
    if not mask.anomalous:
        yield "empty mask", ""
    elif not mask.left:
        yield "emptied mask", f"{mask.anomalous} anomalous pixels"
    if good and mask.anomalous:
        yield "mask of a good image", ""


def _size(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} × {height}"
