"""A plain folder: photos of one part, of any names, sorted into good and bad.

PART/good/*                         normal photos
PART/bad/* or PART/bad/TYPE/*       photos of defects
PART/masks/* or PART/masks/TYPE/*   optional: masks, NAME_mask.png or NAME.png, or several in a
                                    folder NAME, paired by name (pairing.py)
PART/groups.csv                     optional: image, group and part (groups.py)
"""

from collections.abc import Sequence
from dataclasses import replace

from apc_bench.datasets.order import random_order
from apc_bench.datasets.roles import CategoryFiles
from apc_bench.datasets.samples import BAD, GOOD, Sample
from apc_bench.datasets.tree import ENDINGS, check_name
from apc_bench.errors import DataError

PLAIN_TEST_SHARE = 0.3
"""Of a plain folder's normal photos, those that are tested instead of learned from [ours]."""


def plain_samples(files: CategoryFiles) -> list[Sample]:
    """The samples of a plain folder, of which no normal one is tested yet. Raises DataError where
    photos are too few on either side, or a defect type's name cannot become a folder's.
    """
    folder = files.folder
    normal = files.counts(training=True)[GOOD]
    if normal < 2:
        raise DataError(
            f"{folder / GOOD} holds {normal} image(s) ({ENDINGS}): put normal photos there, some to"
            " learn from and some to test on"
        )
    if not files.counts(training=False):
        raise DataError(
            f"{folder / BAD} holds no image ({ENDINGS}): put photos of defects there, or in"
            f" {BAD}/<defect type>"
        )
    for _, kind in files.images.values():
        check_name("defect type", kind, folder / BAD)
    return files.samples()


def with_test_set(files: CategoryFiles, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with PLAIN_TEST_SHARE of the normal groups, chosen by a hash of their names and
    so the same for every seed, to test. Raises DataError where there is a single group.
    """
    groups = {sample.group for sample in samples if sample.training}
    if len(groups) < 2:
        raise DataError(
            f"{files.folder}: all photos in {GOOD} are of one group, so none could be tested; see"
            " groups.csv"
        )
    tested = set(random_order(groups, "plain")[: tested_of(len(groups))])
    return [
        replace(sample, training=sample.training and sample.group not in tested)
        for sample in samples
    ]


def tested_of(groups: int) -> int:
    """Of so many groups of normal photos, those to test."""
    return max(1, round(PLAIN_TEST_SHARE * groups))
