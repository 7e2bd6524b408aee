"""A category in MVTec's layout.

CATEGORY/train/good/*          normal training images
CATEGORY/test/good/*           normal test images
CATEGORY/test/TYPE/*           anomalous images of a defect type
CATEGORY/train/TYPE/*          optional: anomalous images to train on (VisA's two-class splits);
                               then shots are drawn from them alone
CATEGORY/ground_truth/TYPE/*   masks, NAME_mask.png or NAME.png, or several in a folder NAME, paired
                               by name (pairing.py)
CATEGORY/groups.csv            optional: image, group and part (groups.py)
"""

from apc_bench.datasets.places import misspelt
from apc_bench.datasets.roles import CategoryFiles
from apc_bench.datasets.samples import GOOD, Sample
from apc_bench.datasets.tree import ENDINGS, check_name
from apc_bench.errors import DataError


def mvtec_samples(files: CategoryFiles) -> list[Sample]:
    """The samples of a category in MVTec's layout. Raises DataError where train/good, test/good or
    anomalous images are missing, or a defect type's name cannot become a folder's.
    """
    name, train, test = files.name, files.folder / "train", files.folder / "test"
    tested = files.counts(training=False)
    if not files.counts(training=True)[GOOD]:
        raise DataError(
            f"category '{name}' has no images ({ENDINGS}) in {train / GOOD}: PatchCore learns from"
            f" normal images there{misspelt(files.folder)}"
        )
    if not tested[GOOD]:
        raise DataError(
            f"category '{name}' has no images ({ENDINGS}) in {test / GOOD}: without normal test"
            f" images no metric is defined{misspelt(files.folder)}"
        )
    if len(tested) == 1:
        raise DataError(
            f"category '{name}' has no anomalous image: put them in {test}/<defect type>"
        )
    for _, kind in files.images.values():
        check_name("defect type", kind, test)
    return files.samples()
