"""What each file of a folder is read as, whatever it is called and wherever it lies: masks beside
photos, folders below, other names of good and bad, several masks, names that print alike; and what
no trial uses. Figures are recomputed with scikit-learn from the masks as they were drawn.
"""

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, features
from sklearn.metrics import roc_auc_score
from support import PATCHCORE_JOB, apc_bench, make_category

from apc_bench.datasets.decoding import decode_into
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.tree import FORMATS
from apc_bench.errors import DataError

GENERATOR = np.random.default_rng(11)


def noise() -> Image.Image:
    return Image.fromarray(GENERATOR.integers(0, 256, (32, 32, 3), np.uint8))


@pytest.fixture
def part(tmp_path) -> Path:
    return make_category(tmp_path / "data", train=6, good=3, defects=4) / "part"


def samples(part: Path) -> dict[str, tuple[str, bool, tuple[str, ...]]]:
    """Image -> defect type, training and masks, as a sweep reads them."""
    root = part if (part / "bad").is_dir() else part.parent
    (category,) = read_dataset(root).categories
    return {one.image: (one.defect_type, one.training, one.masks) for one in category.samples}


def unused(part: Path) -> dict[str, str]:
    (category,) = read_dataset(part.parent).categories
    return dict(category.unused)


def refusal(part: Path) -> str:
    root = part if (part / "bad").is_dir() else part.parent
    with pytest.raises(DataError) as error:
        read_dataset(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def swept(tmp_path: Path, data: Path, *options: object, code: int = 0) -> str:
    """What a sweep prints; its run is tmp_path/run."""
    (tmp_path / "job.yaml").write_text(PATCHCORE_JOB)
    places = ("--run", tmp_path / "run", "--cache", tmp_path / "cache", "--executor", "serial")
    job = ("--job", tmp_path / "job.yaml", "--data", data)
    return apc_bench("sweep", *job, *places, *options, code=code).output


def pixel_auroc(run: Path, masks: dict[str, np.ndarray]) -> float:
    """Of a run's maps, at their own size of 32 px, against masks by image; empty for others."""
    maps = pl.read_parquet(f"{run}/maps/**/*.parquet", hive_partitioning=True)
    truth, values = [], []
    for row in maps.iter_rows(named=True):
        grid = np.asarray(row["map"], np.float32)
        side = int(len(grid) ** 0.5)
        values.append(np.kron(grid.reshape(side, side), np.ones((32 // side, 32 // side))))
        truth.append(masks.get(row["image"], np.zeros((32, 32), bool)))
    return float(roc_auc_score(np.ravel(truth), np.ravel(values)))


def assert_same(found: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> None:
    assert found.keys() == drawn.keys()
    assert all(np.array_equal(found[image], drawn[image]) for image in drawn)


def masks_decoded(part: Path) -> dict[str, np.ndarray]:
    """Anomalous image -> its mask as a detector and the metrics are given it, at 32 px."""
    (category,) = read_dataset(part.parent).categories
    count = len(category.samples)
    images, masks = np.zeros((count, 3, 32, 32), np.uint8), np.zeros((count, 32, 32), bool)
    decode_into(category, Geometry(32, "square"), images, masks, threads=1)
    pairs = zip(category.samples, masks, strict=True)
    return {sample.image: mask for sample, mask in pairs if sample.anomalous}


def beside(part: Path, suffix: str) -> None:
    """Moves the masks beside the photos, as NAME + suffix."""
    for mask in sorted((part / "ground_truth/dent").iterdir()):
        name = mask.name.replace("_mask.png", suffix)
        (part / "test/dent" / name).parent.mkdir(exist_ok=True)
        mask.rename(part / "test/dent" / name)
    shutil.rmtree(part / "ground_truth")


@pytest.mark.parametrize(
    "suffix",
    ["_label.png", "_mask.png", "_gt.bmp", "_seg.tif", "_GT.png", "-mask.png", "/../mask/{}.png"],
)
def test_masks_beside_the_photos_are_masks_and_no_photos(part, suffix):
    if "{}" in suffix:
        masks = part / "test/dent/mask"
        shutil.move(part / "ground_truth/dent", masks)
        shutil.rmtree(part / "ground_truth")
        names = {
            image: f"test/dent/mask/{image}_mask.png" for image in ("000", "001", "002", "003")
        }
    else:
        beside(part, suffix)
        names = {image: f"test/dent/{image}{suffix}" for image in ("000", "001", "002", "003")}
    found = samples(part)
    assert len(found) == 6 + 3 + 4
    assert {found[f"test/dent/{image}.png"][2] for image in names} == {
        (mask,) for mask in names.values()
    }


def test_a_sweep_measures_pixels_on_masks_beside_photos_and_says_so(tmp_path, part):
    drawn = {
        f"test/dent/{path.stem.removesuffix('_mask')}.png": np.asarray(Image.open(path)) > 0
        for path in (part / "ground_truth/dent").iterdir()
    }
    beside(part, "_label.png")
    for side in ("train", "test"):
        for photo in sorted((part / side / "good").glob("*.png")):
            Image.new("L", (32, 32)).save(photo.with_name(f"{photo.stem}_label.png"))
    assert_same(masks_decoded(part), drawn)
    output = swept(tmp_path, part.parent)
    assert "13 images called as masks of the photos beside them are read as masks" in output
    assert "a mask of a normal image (9: " in output
    metrics = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet").filter(subset="test")
    assert metrics["training_images"].to_list() == [6]
    assert metrics["masked"].to_list() == [3]
    assert pixel_auroc(tmp_path / "run", drawn) == pytest.approx(metrics["pixel_auroc"][0], abs=0.1)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda part: (part / "test/dent/003_label.png").unlink(), "have none: test/dent/003.png"),
        (
            lambda part: noise().save(part / "test/dent/777_label.png"),
            "beside no photo: test/dent/777_label.png",
        ),
        (
            lambda part: shutil.copy(
                part / "test/dent/000_label.png", part / "test/dent/000_mask.png"
            ),
            "have several: test/dent/000.png",
        ),
        (
            lambda part: (
                (part / "ground_truth/dent").mkdir(parents=True),
                shutil.copy(
                    part / "test/dent/000_label.png", part / "ground_truth/dent/000_mask.png"
                ),
            ),
            "there are masks in ground_truth too",
        ),
    ],
)
def test_masks_beside_photos_that_do_not_pair_are_refused(part, break_it, said):
    beside(part, "_label.png")
    break_it(part)
    message = refusal(part)
    assert said in message and "test/dent/000_label.png" in message
    assert "move masks to ground_truth/<defect type>" in message


def test_photos_called_like_masks_are_photos_where_nothing_stands_beside_them(part):
    for folder in ("train/good", "test/dent"):
        for photo in (part / folder).iterdir():
            photo.rename(photo.with_name(f"{photo.stem}_seg.png"))
    for mask in (part / "ground_truth/dent").iterdir():
        mask.rename(mask.with_name(mask.name.replace("_mask", "_seg")))
    found = samples(part)
    assert found["test/dent/000_seg.png"][2] == ("ground_truth/dent/000_seg.png",)
    assert len(found) == 13


def test_masks_beside_photos_under_names_of_their_own_are_known_by_their_pixels(tmp_path, part):
    for mask in sorted((part / "ground_truth/dent").iterdir()):
        mask.rename(part / "test/dent" / f"a{mask.stem.removesuffix('_mask')}.png")
    shutil.rmtree(part / "ground_truth")
    output = swept(tmp_path, part.parent, code=2)
    assert "4 images cannot be used" in output and "test/dent/a003.png: no photo" in output
    assert "test/dent/000.png" not in output
    report = json.loads(apc_bench("data", "check", part.parent, "--json", code=2).output)
    found = {one["kind"]: one["files"] for one in report["categories"][0]["findings"]}
    assert set(found["no photo"]) == {f"test/dent/a00{n}.png" for n in range(4)}


def test_silhouettes_in_two_levels_are_photos(tmp_path, part):
    for photo in part.glob("*/*/*.png"):
        Image.open(photo).convert("1").save(photo)
    swept(tmp_path, part.parent)


def test_photos_in_folders_below_are_read_and_said(tmp_path, part):
    for folder, below, names in (
        ("train/good", "camera 2/day ü", ["000.png", "001.png"]),
        ("test/dent", "left", ["002.png", "003.png"]),
    ):
        (part / folder / below).mkdir(parents=True)
        for name in names:
            (part / folder / name).rename(part / folder / below / name)
    (part / "ground_truth/dent/left").mkdir()
    (part / "ground_truth/dent/002_mask.png").rename(part / "ground_truth/dent/left/002_mask.png")
    found = samples(part)
    assert found["train/good/camera 2/day ü/000.png"][:2] == ("good", True)
    assert found["test/dent/left/002.png"][2] == ("ground_truth/dent/left/002_mask.png",)
    assert found["test/dent/left/003.png"][2] == ("ground_truth/dent/003_mask.png",)
    output = swept(tmp_path, part.parent, "--dry-run")
    assert "2 images of train/good" in output and "lie in folders below it" in output


def test_one_mask_for_two_photos_of_a_name_in_folders_below_is_refused(part):
    (part / "test/dent/left").mkdir()
    noise().save(part / "test/dent/left/000.png")
    (part / "test/dent/right").mkdir()
    (part / "test/dent/000.png").rename(part / "test/dent/right/000.png")
    assert "share one name" in refusal(part)


def as_loco(part: Path) -> dict[str, np.ndarray]:
    """Two masks an image, each in a folder of its own; what they say together."""
    truth, drawn = part / "ground_truth/dent", {}
    shutil.rmtree(truth)
    for number in range(4):
        (truth / f"{number:03}").mkdir(parents=True)
        whole = np.zeros((32, 32), bool)
        for piece, value in enumerate((255, 252)):
            mask = np.zeros((32, 32), np.uint8)
            mask[8 + 4 * piece : 12 + 4 * piece, 8:16] = value
            whole |= mask > 0
            Image.fromarray(mask).save(truth / f"{number:03}" / f"{piece:03}.png")
        drawn[f"test/dent/{number:03}.png"] = whole
    return drawn


def test_several_masks_an_image_are_united_as_loco_has_them(tmp_path, part):
    drawn = as_loco(part)
    (part / "validation/good").mkdir(parents=True)
    noise().save(part / "validation/good/000.png")
    assert_same(masks_decoded(part), drawn)
    output = swept(tmp_path, part.parent)
    assert "a validation image, which no protocol here learns from or tests (1: " in output
    metrics = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet").filter(subset="test")
    assert metrics["masked"].to_list() == [3]
    split = pl.read_parquet(f"{tmp_path}/run/splits/**/*.parquet")
    assert split.filter(image="test/dent/000.png")["mask"].to_list() == [
        "ground_truth/dent/000/000.png\nground_truth/dent/000/001.png"
    ]
    assert pixel_auroc(tmp_path / "run", drawn) == pytest.approx(metrics["pixel_auroc"][0], abs=0.1)
    page = (tmp_path / "run/report/index.html").read_text()
    assert "mask cannot be read" not in page and "no mask" not in page
    report = json.loads(apc_bench("data", "check", part.parent, "--json", "--reserve", 1).output)
    kinds = {one["kind"] for one in report["categories"][0]["findings"]}
    assert not kinds & {"stray mask", "ambiguous mask", "no mask"}


def test_a_mask_beside_the_folder_of_an_images_masks_is_one_too_many(part):
    as_loco(part)
    Image.new("L", (32, 32), 255).save(part / "ground_truth/dent/000_mask.png")
    assert "test/dent/000.png has two masks" in refusal(part)


@pytest.mark.parametrize("name", ["ok", "OK", "Good", "GOOD", "normal", "Normal"])
def test_other_names_of_good_are_good_where_none_stands_beside_them(tmp_path, part, name):
    for side in ("train", "test"):
        (part / side / "good").rename(part / side / name)
    found = samples(part)
    assert [kind for kind, _, _ in found.values()].count("good") == 9
    output = swept(tmp_path, part.parent, "--dry-run")
    assert output.count(f"test/{name} is read as normal photos") == 1


def test_good_in_training_and_ok_in_the_test_set_go_together(part):
    (part / "test/good").rename(part / "test/ok")
    assert [kind for kind, _, _ in samples(part).values()].count("good") == 9


@pytest.mark.parametrize("pair", [("good", "Good"), ("good", "ok"), ("OK", "normal")])
def test_two_folders_of_normal_photos_side_by_side_are_refused(part, pair):
    (part / "test/good").rename(part / "test" / pair[0])
    (part / "test" / pair[1]).mkdir()
    noise().save(part / "test" / pair[1] / "900.png")
    message = refusal(part)
    assert f"test/{pair[0]}" in message and f"test/{pair[1]}" in message and "put" in message


@pytest.mark.parametrize(
    ("good", "bad", "masks"),
    [("OK", "NG", "mask"), ("normal", "defect", "ground_truth"), ("Good", "Bad", "Masks")],
)
def test_plain_folders_under_other_names_are_read(tmp_path, part, good, bad, masks):
    plain = tmp_path / "bracket"
    plain.mkdir()
    (part / "train/good").rename(plain / good)
    (part / "test/dent").rename(plain / bad)
    (part / "ground_truth/dent").rename(plain / masks)
    (category,) = read_dataset(plain).categories
    kinds = [sample.defect_type for sample in category.samples]
    assert (kinds.count("good"), kinds.count("bad")) == (6, 4)
    assert all(sample.masks for sample in category.samples if sample.anomalous)
    assert {remark.split(" is ")[0] for remark in category.remarks} == {good, bad, masks}


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("good", "scratch", "dent"), "put the folders of defects (dent, scratch) into"),
        (("NG",), "put normal photos into"),
        (("Train/good", "Test/good"), "rename"),
    ],
)
def test_a_folder_that_is_nearly_of_a_layout_says_how_to_rename(tmp_path, folders, said):
    for folder in folders:
        (tmp_path / "data/part" / folder).mkdir(parents=True)
        noise().save(tmp_path / "data/part" / folder / "0.png")
    assert said in refusal(tmp_path / "data/part")


TABLE = "image,group\ntrain/good/000.png,a\ntest/good/000.png,a\n"


@pytest.mark.parametrize(
    "name",
    [
        "part/groups.csv.txt",
        "part/GROUPS.CSV",
        "part/Groups.csv",
        "part/group.csv",
        "part/groups (1).csv",
        "part/groups.xlsx",
        "part/test/groups.csv",
        "part/part.csv",
        "groups.csv",
        "part.csv",
    ],
)
def test_a_table_of_groups_that_would_not_be_read_is_refused(part, name):
    (part.parent / name).write_text(TABLE)
    message = refusal(part)
    assert name in message and "groups.csv" in message


@pytest.mark.parametrize("name", ["notes.txt", "readme.md", "part/labels.csv", "part/license.txt"])
def test_other_files_are_no_tables_of_groups(part, name):
    (part.parent / name).write_text("image,label\n")
    (part / "groups (old).csv").write_text(TABLE)
    (part / "groups.csv").write_text("image,group\ntrain/good/000.png,a\n")
    samples(part)


def test_a_group_without_an_image_is_named_by_its_line(part):
    (part / "groups.csv").write_text("image,group\ntrain/good/000.png,a\n,b\n")
    assert "groups.csv, line 3: group 'b' has no image" in refusal(part)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_that_print_alike_pair(part, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    image = unicodedata.normalize(form, "Prüfling é.png")
    (part / "test/dent/000.png").rename(part / "test/dent" / image)
    mask = unicodedata.normalize(other, "Prüfling é_mask.png")
    (part / "ground_truth/dent/000_mask.png").rename(part / "ground_truth/dent" / mask)
    listed = unicodedata.normalize(other, "test/dent/Prüfling é.png")
    (part / "groups.csv").write_text(f"image,group\n{listed},a\ntest/dent/001.png,a\n")
    assert samples(part)[f"test/dent/{image}"][2] == (f"ground_truth/dent/{mask}",)
    (category,) = read_dataset(part.parent).categories
    assert [sample.group for sample in category.samples].count("a") == 2


def test_two_files_whose_names_print_alike_are_refused(part):
    for form in ("NFC", "NFD"):
        noise().save(part / "train/good" / unicodedata.normalize(form, "Prüfling.png"))
    assert "names that print alike, train/good/Prüfling.png" in refusal(part)


def test_every_ending_that_is_listed_is_decoded(tmp_path, part):
    """But for those whose codec this Pillow lacks: webp and JPEG 2000 are optional."""
    assert features.check("webp") == (".webp" in FORMATS.get("WEBP", ()))
    endings = [ending for some in FORMATS.values() for ending in some]
    assert {".png", ".jfif", ".jpe", ".gif", ".pgm", ".bmp"} <= {*endings}
    for form, some in FORMATS.items():
        for ending in some:
            photo = noise().convert("L") if ending == ".pgm" else noise()
            photo.save(part / "train/good" / f"x{ending.upper()}", form)
    swept(tmp_path, part.parent)
    metrics = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet").filter(subset="test")
    assert metrics["training_images"].to_list() == [6 + len(endings)]


def test_every_file_that_no_trial_uses_is_counted_and_stands_on_the_page(tmp_path, part):
    leftovers = {
        "train/good/photo.heic": "no image by its ending",
        "train/good/.thumbs/0.png": "hidden",
        "train/good/@eaDir/000.png": "hidden",
        "extra/0.png": "in a folder that is not read",
        "test/0.png": "in a folder that is not read",
        "validation/good/0.png": "a validation image, which no protocol here learns from or tests",
        "ground_truth/good/000_mask.png": "a mask of a normal image",
        "<b>.txt": "no image by its ending",
        "caf\udce9\x1b.txt": "no image by its ending",
    }
    for name in leftovers:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        noise().save(part / name, "PNG")
    (part.parent / "license.txt").write_text("x")
    shown = {name.replace("\udce9\x1b", r"\udce9\x1b"): why for name, why in leftovers.items()}
    assert unused(part) == shown
    output = swept(tmp_path, part.parent)
    assert "category 'part': no trial uses 9 files: " in output
    assert "hidden (2: train/good/.thumbs/0.png, train/good/@eaDir/000.png)" in output
    assert "beside the categories, no trial uses 1 file: " in output
    recorded = json.loads((tmp_path / "run/run.json").read_text())["unused"]
    assert sum(len(files) for files in recorded["part"].values()) == 9
    assert recorded["."] == {"a file beside the categories": ["license.txt"]}
    page = (tmp_path / "run/report/index.html").read_text()
    assert "Not used of part: hidden" in page and "2: train/good/.thumbs/0.png" in page
    assert "&lt;b&gt;.txt" in page and "<b>.txt" not in page
    for name in (*leftovers, "../license.txt"):
        (part / name).unlink()
    swept(tmp_path, part.parent)
    assert json.loads((tmp_path / "run/run.json").read_text())["unused"] == {}


def test_links_to_folders_are_followed_but_never_round(part):
    (part / "train/good/aaa loop").symlink_to(part / "train", target_is_directory=True)
    shutil.move(part / "test/dent", part.parent.parent / "dents")
    (part / "test/dent").symlink_to(part.parent.parent / "dents", target_is_directory=True)
    found = samples(part)
    assert len([image for image in found if image.startswith("test/dent/")]) == 4
    assert len([image for image in found if image.startswith("train/")]) == 6
