"""A category in MVTec's layout.

CATEGORY/train/good/*          normal training images
CATEGORY/test/good/*           normal test images
CATEGORY/test/TYPE/*           anomalous images of a defect type
CATEGORY/train/TYPE/*          optional: anomalous images to train on (VisA's two-class splits);
                               then shots are drawn from them alone
CATEGORY/ground_truth/TYPE/*   masks, NAME_mask.png or NAME.png, paired by name
CATEGORY/groups.csv            optional: image, group and part (groups.py)
"""

from pathlib import Path

from apc_bench.datasets.groups import with_groups
from apc_bench.datasets.samples import GOOD, Category, Sample
from apc_bench.datasets.tree import ENDINGS, check_name, image_files, paired_masks, subfolders
from apc_bench.errors import DataError


def read_mvtec(folder: Path) -> Category:
    """The category in this folder. Raises DataError where train/good, test/good or anomalous images
    are missing, a name cannot become a folder's, masks do not fit, or groups.csv does not.
    """
    check_name("category", folder.name, folder)
    train, test = folder / "train", folder / "test"
    taught, tested = _images_by_type(train), _images_by_type(test)
    if GOOD not in taught:
        raise DataError(
            f"category '{folder.name}' has no images ({ENDINGS}) in {train / GOOD}:"
            " PatchCore learns from normal images there"
        )
    if GOOD not in tested:
        raise DataError(
            f"category '{folder.name}' has no images ({ENDINGS}) in {test / GOOD}: without normal"
            " test images no metric is defined"
        )
    if len(tested) == 1:
        raise DataError(
            f"category '{folder.name}' has no anomalous image: put them in {test}/<defect type>"
        )
    samples = []
    for kind in sorted({*tested, *taught}):
        check_name("defect type", kind, test)
        images = {True: taught.get(kind, []), False: tested.get(kind, [])}
        masks: dict[str, str] = {}
        if kind != GOOD:
            masks = paired_masks(folder, f"ground_truth/{kind}/", images[False] + images[True])
        for training, paths in images.items():
            samples += [Sample(path, masks.get(path), kind, training, path) for path in paths]
    for kind in subfolders(folder / "ground_truth"):
        if kind not in {*tested, *subfolders(train), GOOD}:
            paired_masks(folder, f"ground_truth/{kind}/", [])
    samples = with_groups(folder, samples)
    return Category(folder.name, folder, tuple(sorted(samples, key=lambda sample: sample.image)))


def _images_by_type(part: Path) -> dict[str, list[str]]:
    """Defect type -> paths, of `train` or `test`; without types that have no image."""
    images = {}
    for kind in subfolders(part):
        names = image_files(part / kind)
        if names:
            images[kind] = [f"{part.name}/{kind}/{name}" for name in names]
    return images
