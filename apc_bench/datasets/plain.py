"""A plain folder: photos of one part, of any names, sorted into good and bad.

PART/good/*                         normal photos
PART/bad/* or PART/bad/TYPE/*       photos of defects
PART/masks/* or PART/masks/TYPE/*   optional: masks, NAME_mask.png or NAME.png, paired by name
PART/groups.csv                     optional: image, group and part (groups.py)
"""

from dataclasses import replace
from pathlib import Path

from apc_bench.datasets.groups import with_groups
from apc_bench.datasets.order import random_order
from apc_bench.datasets.samples import BAD, GOOD, Category, Sample
from apc_bench.datasets.tree import ENDINGS, check_name, image_files, paired_masks, subfolders
from apc_bench.errors import DataError

PLAIN_TEST_SHARE = 0.3
"""Of a plain folder's normal photos, those that are tested instead of learned from [ours]."""


def read_plain(folder: Path) -> Category:
    """The folder as a category: PLAIN_TEST_SHARE of the normal groups, chosen by a hash of their
    names and so the same for every seed, are tested.

    Raises DataError where photos are too few on either side, a name cannot become a folder's, masks
    do not fit, or groups.csv does not.
    """
    check_name("folder", folder.name, folder.parent)
    samples = with_groups(folder, [*_normal(folder), *_defective(folder)])
    tested = _tested_groups(folder, samples)
    samples = [
        replace(sample, training=sample.training and sample.group not in tested)
        for sample in samples
    ]
    return Category(folder.name, folder, tuple(sorted(samples, key=lambda sample: sample.image)))


def _normal(folder: Path) -> list[Sample]:
    paths = [f"{GOOD}/{name}" for name in image_files(folder / GOOD)]
    if len(paths) < 2:
        raise DataError(
            f"{folder / GOOD} holds {len(paths)} image(s) ({ENDINGS}): put normal photos there,"
            " some to learn from and some to test on"
        )
    return [Sample(path, None, GOOD, True, path) for path in paths]


def _defective(folder: Path) -> list[Sample]:
    types = [kind for kind in subfolders(folder / BAD) if image_files(folder / BAD / kind)]
    if GOOD in types:
        raise DataError(
            f"{folder / BAD / GOOD}: photos of defects cannot be of the type '{GOOD}'; rename the"
            " folder"
        )
    for kind in types:
        check_name("defect type", kind, folder / BAD)
    samples = []
    # A folder bad/bad stands for what lies in bad itself.
    for kind, below in ({BAD: ""} | {kind: f"{kind}/" for kind in types}).items():
        paths = [f"{BAD}/{below}{name}" for name in image_files(folder / BAD / below)]
        masks = paired_masks(folder, f"masks/{'' if kind == BAD else below}", paths)
        samples += [Sample(path, masks.get(path), kind, False, path) for path in paths]
    if not samples:
        raise DataError(
            f"{folder / BAD} holds no image ({ENDINGS}): put photos of defects there, or in"
            f" {BAD}/<defect type>"
        )
    return samples


def _tested_groups(folder: Path, samples: list[Sample]) -> set[str]:
    """The groups of normal photos that are tested."""
    groups = {sample.group for sample in samples if sample.training}
    if len(groups) < 2:
        raise DataError(
            f"{folder}: all photos in {GOOD} are of one group, so none could be tested; see"
            " groups.csv"
        )
    count = max(1, round(PLAIN_TEST_SHARE * len(groups)))
    return set(random_order(groups, "plain")[:count])
