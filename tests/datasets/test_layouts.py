"""A folder becomes a dataset, paired by name; what cannot be one is told in one line."""

import errno
import shutil
from pathlib import Path

import pytest
from PIL import Image
from support import make_category

from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.tree import dataset_name
from apc_bench.errors import DataError


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
    touch(
        root / "part/groups.csv",
        "\ufeffimage,group,part\ntest/dent/000.png,g1,dev\ntest/dent/001.png,g1,\n",
    )
    by_image = {sample.image: sample for sample in read_dataset(root).categories[0].samples}
    assert by_image["test/dent/000.png"].group == by_image["test/dent/001.png"].group == "g1"
    assert by_image["test/dent/000.png"].part == "dev"
    assert by_image["test/dent/001.png"].part is None
    assert by_image["test/dent/002.png"].group == "test/dent/002.png"


def test_groups_csv_is_read_as_a_german_excel_writes_it(tmp_path):
    """Semicolons, UTF-16 with its mark, CR LF."""
    root = make_category(tmp_path / "d")
    text = "image;group;part\r\ntest/dent/000.png;Teil 1;dev\r\ntest/dent/001.png;Teil 1;\r\n;;\r\n"
    (root / "part/groups.csv").write_bytes(text.encode("utf-16"))
    by_image = {sample.image: sample for sample in read_dataset(root).categories[0].samples}
    assert by_image["test/dent/000.png"].group == by_image["test/dent/001.png"].group == "Teil 1"
    assert [by_image[f"test/dent/00{n}.png"].part for n in (0, 1)] == ["dev", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,grp\n", "needs the columns image and group"),
        ("image,group\ntest/dent/999.png,a\n", "names images that do not exist: test/dent/999.png"),
        ("image,group\ntest/dent/000.png,\n", "is empty"),
        ("image,group\ntest/dent/000.png\n", "line 2: 1 fields .* the header has 2"),
        ("image,group\ntest/dent/000.png,a,b\n", "line 2: 3 fields .* the header has 2"),
        ("image,group\n", "lists no image"),
        (
            "image,group\ntest/dent/000.png,a\ntest/dent/000.png,b\n",
            "lists test/dent/000.png more than once",
        ),
        ("", "needs the columns image and group"),
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


def _masks_of_a_type_without_images(root):
    (root / "part/test/dent").rename(root / "part/test/dint")
    return "ground_truth/dent: masks that belong to no image"


def _control_characters_in_a_name(root):
    Image.new("RGB", (4, 4)).save(root / "part/train/good/a\nb.png")
    return "control characters"


def _a_name_that_is_no_utf8(root):
    (root / "part/train/good/000.png").rename(root / "part/train/good/caf\udce9.png")
    return "not valid UTF-8"


def _defect_type_that_cannot_be_a_folder(root):
    (root / "part/test/dent").rename(root / "part/test/big dent\n")
    return "control characters"


def _no_training_folder(root):
    shutil.rmtree(root / "part/train")
    return "category 'part' has no images"


def _images_of_other_kinds_only(root):
    for path in (root / "part/train/good").iterdir():
        path.rename(path.with_suffix(".heic"))
    return "(bmp dib gif "


def _groups_that_are_no_text(root):
    (root / "part/groups.csv").write_bytes(b"image,group\ncaf\xe9,a\n")
    return "groups.csv: not a CSV file in UTF-8"


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


CASES = (
    _stray_mask,
    _two_masks,
    _two_images_of_a_name,
    _masks_of_a_type_without_images,
    _control_characters_in_a_name,
    _a_name_that_is_no_utf8,
    _defect_type_that_cannot_be_a_folder,
    _no_training_folder,
    _images_of_other_kinds_only,
    _groups_that_are_no_text,
    _no_normal_test_image,
    _no_anomalous_image,
    _category_name_that_cannot_be_a_folder,
)


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


def test_the_good_photos_given_for_the_folder_of_both_are_explained(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / "bracket" / name).mkdir(parents=True)
        (tmp_path / "bracket" / name / "0.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path / "bracket" / "good")
    told = f"it lies in {tmp_path / 'bracket'}, which has good and defective photos: give that"
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (None, "no such folder"),
        (("botle",), r"unknown category 'botle' \(known: bottle, part\); did you mean 'bottle'"),
    ],
)
def test_a_folder_or_category_that_is_not_there_is_named(tmp_path, categories, message):
    root = make_category(make_category(tmp_path / "d"), "bottle")
    with pytest.raises(DataError, match=message):
        read_dataset(root if categories else tmp_path / "none", categories=categories)
    assert [
        category.name for category in read_dataset(root, categories=("bottle",)).categories
    ] == ["bottle"]


def test_an_empty_folder_has_no_category(tmp_path):
    with pytest.raises(DataError, match="no category in"):
        read_dataset(tmp_path)


def test_a_bad_category_that_was_not_asked_for_stops_nothing(tmp_path):
    root = make_category(make_category(tmp_path / "d"), "bottle")
    shutil.rmtree(root / "bottle/train/good")
    assert [category.name for category in read_dataset(root, categories=("part",)).categories] == [
        "part"
    ]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root = make_category(tmp_path / "d")

    def refuses(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuses)
    with pytest.raises(DataError, match=r"cannot read .*: Permission denied"):
        read_dataset(root)


def test_a_mask_is_paired_by_its_whole_name(tmp_path):
    """1 is no prefix of 10, endings may differ, and `_mask` may be part of an image's own name."""
    root = make_category(tmp_path / "d", defects=0)
    for name in ("1.jpg", "10.png", "a_mask.png", "b.c.png"):
        touch(root / "part/test/dent" / name)
    for name in (
        "1_mask.png",
        "10.PNG",
        "a_mask_mask.png",
        "b.c_mask.bmp",
        "Thumbs.db",
        ".DS_Store",
    ):
        touch(root / "part/ground_truth/dent" / name)
    (category,) = read_dataset(root).categories
    assert {
        Path(sample.image).name: Path(sample.mask).name
        for sample in category.samples
        if sample.mask
    } == {
        "1.jpg": "1_mask.png",
        "10.png": "10.PNG",
        "a_mask.png": "a_mask_mask.png",
        "b.c.png": "b.c_mask.bmp",
    }


def test_hidden_folders_and_masks_of_good_images_are_passed_over(tmp_path):
    root = make_category(tmp_path / "d")
    before = read_dataset(root)
    touch(root / "part/test/.ipynb_checkpoints/000-checkpoint.png")
    touch(root / "part/ground_truth/good/000_mask.png")
    touch(root / "license.txt")
    assert read_dataset(root) == before


def test_blanks_around_a_group_make_no_other_group(tmp_path):
    root = make_category(tmp_path / "d")
    touch(root / "part/groups.csv", "image,group\ntest/dent/000.png,g1\ntest/dent/001.png, g1 \n")
    groups = {sample.image: sample.group for sample in read_dataset(root).categories[0].samples}
    assert groups["test/dent/000.png"] == groups["test/dent/001.png"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("mvtec", "mvtec"),
        ("my data (2)", "my-data-2"),
        ("..é", "dataset"),
        ("x" * 99, "x" * 64),
        (".hidden", "hidden"),
    ],
)
def test_a_dataset_is_called_like_its_folder_as_far_as_a_name_may(folder, name):
    assert dataset_name(Path("/somewhere") / folder) == name


def test_the_magnetic_tiles_are_read_whole(magnetic_tiles):
    (category,) = read_dataset(magnetic_tiles).categories
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
    assert len({sample.group for sample in category.samples if not sample.anomalous}) == 116
    assert [
        sum(sample.part == part for sample in category.samples if not sample.training)
        for part in ("dev", "final")
    ] == [288, 270]
