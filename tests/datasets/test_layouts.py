"""A folder becomes a dataset, paired by name; what cannot be one is told in one line."""

from pathlib import Path

import pytest
from PIL import Image
from support import make_category

from apc_bench.datasets.catalog import MVTEC_AD_COUNTS, is_mvtec_ad
from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import DataError

TILES = Path(__file__).resolve().parents[3] / "shared" / "data" / "mtd"


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_tree_becomes_samples_with_masks_paired_by_name(tmp_path):
    root = make_category(tmp_path / "d", train=2, good=1, defects=3)
    (root / "part/ground_truth/dent/001_mask.png").unlink()  # a gap must not shift the others
    (root / "part/ground_truth/dent/002_mask.png").rename(root / "part/ground_truth/dent/002.png")
    (category,) = read_dataset(root).categories
    assert {sample.image: sample.mask for sample in category.samples if sample.anomalous} == {
        "test/dent/000.png": "ground_truth/dent/000_mask.png",
        "test/dent/001.png": None,
        "test/dent/002.png": "ground_truth/dent/002.png",
    }
    assert [sample.training for sample in category.samples].count(True) == 2
    assert all(sample.group == sample.image for sample in category.samples)


def test_endings_of_any_case_are_read_and_strays_are_not(tmp_path):
    root = make_category(tmp_path / "d")
    for name in ("a.JPG", "b.jpeg", "c.BMP", "d.tiff", "e.TIF"):
        Image.new("RGB", (4, 4)).save(root / "part/train/good" / name)
    for name in ("Thumbs.db", ".DS_Store", "license.txt", ".hidden.png"):
        touch(root / "part/train/good" / name)
    (category,) = read_dataset(root).categories
    assert sum(sample.training for sample in category.samples) == 4 + 5


def test_groups_and_parts_come_from_groups_csv(tmp_path):
    root = make_category(tmp_path / "d")
    touch(root / "part/groups.csv", "\ufeffimage,group,part\ntest/dent/000.png,g1,dev\ntest/dent/001.png,g1,\n")
    by_image = {sample.image: sample for sample in read_dataset(root).categories[0].samples}
    assert by_image["test/dent/000.png"].group == by_image["test/dent/001.png"].group == "g1"
    assert by_image["test/dent/000.png"].part == "dev"
    assert by_image["test/dent/001.png"].part is None
    assert by_image["test/dent/002.png"].group == "test/dent/002.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,grp\n", "needs the columns image and group"),
        ("image,group\ntest/dent/999.png,a\n", "names images that do not exist: test/dent/999.png"),
        ("image,group\ntest/dent/000.png,\n", "is empty"),
    ],
)
def test_a_wrong_groups_csv_is_named(tmp_path, text, message):
    root = make_category(tmp_path / "d")
    touch(root / "part/groups.csv", text)
    with pytest.raises(DataError, match=message) as error:
        read_dataset(root)
    assert "groups.csv" in str(error.value)


def _stray_mask(root):
    Image.new("L", (4, 4)).save(root / "part/ground_truth/dent/777_mask.png")
    return "masks that belong to no image: 777_mask.png"


def _two_masks(root):
    Image.new("L", (4, 4)).save(root / "part/ground_truth/dent/000.png")
    return "has two masks"


def _two_images_of_a_name(root):
    Image.new("RGB", (4, 4)).save(root / "part/test/dent/000.jpg")
    return "share one name"


def _no_normal_test_image(root):
    for path in (root / "part/test/good").iterdir():
        path.unlink()
    return "without normal test images no metric is defined"


def _no_anomalous_image(root):
    for path in (root / "part/test/dent").iterdir():
        path.unlink()
    for path in (root / "part/ground_truth/dent").iterdir():
        path.unlink()
    return "has no anomalous image"


def _category_name_that_cannot_be_a_folder(root):
    (root / "part").rename(root / "a b=c")
    return "cannot be used"


CASES = (_stray_mask, _two_masks, _two_images_of_a_name, _no_normal_test_image, _no_anomalous_image, _category_name_that_cannot_be_a_folder)


@pytest.mark.parametrize("case", CASES, ids=[case.__name__.strip("_") for case in CASES])
def test_a_tree_that_would_give_wrong_numbers_is_refused(tmp_path, case):
    root = make_category(tmp_path / "d")
    message = case(root)
    with pytest.raises(DataError) as error:
        read_dataset(root)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_category_given_for_its_parent_is_explained(tmp_path):
    root = make_category(tmp_path / "d")
    with pytest.raises(DataError, match="this folder is a category itself: give its parent"):
        read_dataset(root / "part")


def test_the_counts_of_mvtec_ad_are_those_of_its_paper():
    counts = MVTEC_AD_COUNTS.values()
    assert len(counts) == 15
    assert sum(train for train, _, _ in counts) == 3629
    assert sum(good for _, good, _ in counts) == 467
    assert sum(sum(types.values()) for _, _, types in counts) == 1258
    assert sum(len(types) for _, _, types in counts) == 73


@pytest.mark.skipif(not TILES.is_dir(), reason="the magnetic tiles are not on this machine")
def test_the_magnetic_tiles_are_read_whole():
    (category,) = read_dataset(TILES).categories
    kinds = [sample.defect_type for sample in category.samples if not sample.training]
    assert sum(sample.training for sample in category.samples) == 782
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "good": 170,
        "blowhole": 115,
        "break": 85,
        "crack": 57,
        "fray": 32,
        "uneven": 99,
    }
    assert all(sample.mask for sample in category.samples if sample.anomalous)
    assert len({sample.group for sample in category.samples}) < len(category.samples) / 4
    assert not is_mvtec_ad(read_dataset(TILES))
