"""`data check`: every fault of a folder at once; a user's odd files through check and sweep;
lookalikes as groups.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support import apc_bench, make_category

JOB = """
image_size: 32
reserve: 2
shots: [1]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  plus: {detector: apc+, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32, classifier_steps: 2}}
"""
GENERATOR = np.random.default_rng(5)


def noise(*shape: int, kind=np.uint8, top: int = 256) -> np.ndarray:
    return GENERATOR.integers(0, top, shape, kind)


def findings(root: Path, *options: object, code: int = 2) -> dict[str, dict[str, str]]:
    """Kind -> files, over the whole dataset."""
    report = json.loads(apc_bench("data", "check", root, "--json", *options, code=code).output)
    assert report["fit"] == (code == 0)
    found: dict[str, dict[str, str]] = {}
    for finding in [
        *report["findings"],
        *(one for category in report["categories"] for one in category["findings"]),
    ]:
        found.setdefault(finding["kind"], {}).update(finding["files"])
    return found


@pytest.fixture
def data(tmp_path) -> Path:
    return make_category(tmp_path / "data", train=24, good=4, defects=6)


@pytest.fixture
def enough(tmp_path) -> Path:
    """With as many normal photos as a threshold takes for every system."""
    return make_category(tmp_path / "enough", train=38, good=4, defects=6)


def test_a_sound_dataset_is_fit_and_its_counts_are_told(enough):
    output = apc_bench("data", "check", enough, "--reserve", "3").output
    assert "part: train good 38; test dent 6, good 4" in output
    assert "sizes: 32 × 32 (48); modes: RGB (48)" in output
    assert "note: threshold: patchcore calibrates a threshold on 38 normal images" in output
    assert "note: threshold: apc, apc+ and prnet calibrate a threshold on 19 normal" in output
    verdict, command = output.splitlines()[-2:]
    assert verdict == "0 errors, 0 warnings: fit for a sweep"
    assert command == f"next: apc-bench sweep --data {enough} --protocol crossfit"


def test_too_few_normal_photos_for_a_threshold_are_told_with_what_each_system_needs(data):
    output = apc_bench("data", "check", data, "--reserve", "3").output
    assert "note: threshold: patchcore calibrates a threshold on 24 normal images" in output
    assert (
        "warning: threshold: no threshold for apc, apc+ and prnet: you have 24 normal training"
        " photos, they need 38 (12 of them calibrate, 5 % false alarms take 19)" in output
    )
    assert output.splitlines()[-2] == (
        "0 errors, 1 warning: fit for a sweep; where there is no threshold it ranks: AUROC with its"
        " interval, and the difference to PatchCore"
    )


def test_every_fault_is_named_at_once(data):
    part = data / "part"
    truth = part / "ground_truth" / "dent"
    (part / "train/good/000.png").write_bytes(b"")
    (part / "train/good/001.png").write_bytes((part / "train/good/001.png").read_bytes()[:200])
    shutil.copy(part / "train/good/002.png", part / "test/good/900.png")
    shutil.copy(part / "train/good/003.png", part / "train/good/901.png")
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(truth / "000_mask.png")
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(truth / "001_mask.png")
    Image.fromarray(np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)).save(
        truth / "002_mask.png"
    )
    one = np.zeros((32, 32), np.uint8)
    one[2, 2] = 255
    Image.fromarray(one).save(truth / "003_mask.png")
    (truth / "004_mask.png").rename(truth / "elsewhere_mask.png")
    shutil.copy(truth / "005_mask.png", truth / "005.png")
    found = findings(data, "--image-size", "16", "--reserve", "6")
    assert found["unreadable"].keys() == {"train/good/000.png", "train/good/001.png"}
    assert found["unreadable"]["train/good/000.png"] == "empty file"
    assert found["leak"] == {"test/good/900.png": "same content as train/good/002.png"} or found[
        "leak"
    ] == {"train/good/002.png": "same content as test/good/900.png"}
    assert found["copies"] == {"train/good/003.png": "same content as train/good/901.png"}
    assert found["empty mask"].keys() == {"ground_truth/dent/000_mask.png"}
    assert found["mask size"] == {"ground_truth/dent/001_mask.png": "16 × 16, its image is 32 × 32"}
    assert found["unclear"].keys() == {"ground_truth/dent/002_mask.png"}
    assert found["unclear"] == {
        "ground_truth/dent/002_mask.png": "has the many shades of a photo, where a mask has two"
    }
    assert found["emptied mask"] == {"ground_truth/dent/003_mask.png": "1 anomalous pixels"}
    assert found["stray mask"].keys() == {"ground_truth/dent/elsewhere_mask.png"}
    assert found["no mask"].keys() == {"test/dent/004.png"}
    assert found["ambiguous mask"].keys() == {"ground_truth/dent/005_mask.png"}
    assert "few anomalous" in found
    assert "layout" in found, "what the reader of a sweep says is there too"


def test_a_users_folder_of_odd_files_goes_through_check_and_sweep(tmp_path):
    """Whatever a phone, a microscope or a file manager leaves behind."""
    part = make_category(tmp_path / "data", train=24, good=4, defects=6) / "part"
    good = part / "train" / "good"
    Image.fromarray(noise(50, 70, 3)).save(good / "larger.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 32, 3)).save(good / "turned by EXIF.jpg", exif=exif)
    Image.fromarray(noise(32, 32, kind=np.uint16, top=65536)).save(good / "sixteen bit.png")
    Image.fromarray(noise(32, 32, kind=np.uint16, top=65536)).save(good / "sixteen bit.tif")
    Image.fromarray(noise(32, 32, 3)).convert("P").save(good / "palette.png")
    Image.fromarray(noise(32, 32, 4)).save(good / "alpha.png")
    Image.fromarray(noise(32, 32, 4), "CMYK").save(good / "cmyk.jpg")
    Image.fromarray(noise(32, 32)).save(good / "GREY.PNG")
    Image.fromarray(noise(32, 32, 3)).save(good / "ä ö ü ß 部品.BMP")
    frames = [Image.fromarray(noise(32, 32)) for _ in range(3)]
    frames[0].save(good / "animated.tiff", save_all=True, append_images=frames[1:])
    frames[0].save(good / "animated.png", save_all=True, append_images=frames[1:])
    (good / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (good / ".DS_Store").write_bytes(b"\0")
    (good / "photo.heic").write_bytes(b"ftypheic")
    (good / "nested" / "deeper").mkdir(parents=True)
    Image.fromarray(noise(32, 32, 3)).save(good / "nested" / "deeper" / "x.png")
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "elsewhere.png")
    (good / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (good / "broken link.png").symlink_to(tmp_path / "gone.png")
    (good / "loop").symlink_to(good, target_is_directory=True)
    (tmp_path / "data" / "notes.txt").write_text("x")

    found = findings(tmp_path / "data", "--reserve", "2")
    bad = {f"train/good/{name}" for name in ("animated.tiff", "animated.png", "broken link.png")}
    assert found["unreadable"].keys() == bad
    assert "reading" in found
    assert found["link"].keys() == {"train/good/link.png"}
    passed = {
        "train/good/Thumbs.db",
        "train/good/.DS_Store",
        "train/good/photo.heic",
        "notes.txt",
    }
    assert found["passed over"].keys() == passed
    assert "leak" not in found

    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    options = (
        "--job",
        job,
        "--data",
        tmp_path / "data",
        "--cache",
        tmp_path / "cache",
        "--executor",
        "serial",
        "--run",
        tmp_path / "run",
    )
    refused = apc_bench("sweep", *options, code=2).output
    assert all(name.split("/")[-1] in refused for name in bad)
    output = apc_bench("sweep", *options, "--skip-unreadable").output
    assert "left out 3 images" in output
    metrics = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True)
    assert set(metrics.filter(pl.col("method") == "patchcore")["training_images"]) == {35}
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert all(name.split("/")[-1] in page for name in bad)


def test_lookalikes_become_a_groups_csv_that_a_sweep_reads(tmp_path):
    data = make_category(tmp_path / "data", train=24, good=4, defects=6)
    good = data / "part" / "train" / "good"
    base = np.asarray(Image.fromarray(noise(8, 8, 3)).resize((64, 64))).astype(np.int16)
    for n in range(3):
        Image.fromarray((base * (0.7 + 0.1 * n)).clip(0, 255).astype(np.uint8)).save(
            good / f"exposure {n}.png"
        )
    found = findings(data, "--reserve", "3", "--groups", tmp_path / "groups", code=0)
    assert found["alike"] == {
        "train/good/exposure 0.png": "like train/good/exposure 1.png, train/good/exposure 2.png"
    }
    text = (tmp_path / "groups" / "part.csv").read_text()
    assert text.splitlines() == [
        "image,group",
        *(f"train/good/exposure {n}.png,alike-000" for n in range(3)),
    ]
    shutil.copy(tmp_path / "groups" / "part.csv", data / "part" / "groups.csv")
    assert "alike" not in findings(data, "--reserve", "3", code=0)
    sound = make_category(tmp_path / "sound", train=24, good=4, defects=6)
    apc_bench("data", "check", sound, "--reserve", "3", "--groups", tmp_path / "none")
    assert not list((tmp_path / "none").iterdir())
    assert (
        "is inside the dataset"
        in apc_bench("data", "check", data, "--groups", data / "part", code=2).output
    )


@pytest.mark.parametrize(("defects", "fit"), [(1, False), (2, True)])
def test_a_single_defect_photo_is_too_few_for_any_sweep(tmp_path, defects, fit):
    source = make_category(tmp_path / "source", train=12, good=2, defects=defects, masks=False)
    told = apc_bench("data", "check", source, code=0 if fit else 2).output
    few = "error: few anomalous: 1 anomalous image; one to learn from and one to test are the least"
    assert (few in told) != fit
    assert ("the only anomalous image has no mask" in told) != fit
    refused = apc_bench(
        *("sweep", "--data", source, "--protocol", "crossfit", "--folds", "2", "--dry-run"),
        *("--methods", "patchcore", "--backbone", "builtin", "--image-size", "32"),
        code=0 if fit else 2,
    )
    assert ("2 folds need 2 groups" in refused.output) != fit
    unlooked = "whether every file can be used is not looked at here: `apc-bench data check` does"
    assert (unlooked in refused.output) == fit


def test_a_plain_folder_and_a_folder_that_is_none(tmp_path):
    source = make_category(tmp_path / "source", train=12, good=2, defects=4, masks=False) / "part"
    plain = tmp_path / "bracket"
    (plain / "bad").mkdir(parents=True)
    (source / "train" / "good").rename(plain / "good")
    (source / "test" / "dent").rename(plain / "bad" / "dent")
    output = apc_bench("data", "check", plain).output
    assert "bracket: train good 12; test dent 4" in output
    assert (
        "warning: few anomalous: 4 anomalous images are too few for a reserve of 10: lower"
        " --reserve, or use --protocol crossfit" in output
    )
    assert (
        "note: no masks: none of the 4 anomalous images has a mask: image-level metrics only"
        in output
    )
    assert (
        "note: no masks: apc can learn from image labels alone; apc+ can learn nothing from the"
        " defects and will rank as PatchCore does; prnet can learn from generated defects alone"
        in output
    )
    named = f"next: apc-bench sweep --data {plain} --protocol crossfit --folds 4\n"
    assert output.endswith(named)
    assert "no such folder" in apc_bench("data", "check", tmp_path / "gone", code=2).output
    (tmp_path / "empty").mkdir()
    assert "no category in" in apc_bench("data", "check", tmp_path / "empty", code=2).output


def test_how_files_are_read_and_what_is_wrong_with_all_of_them_is_said(data):
    part = data / "part"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 32, 3)).save(part / "train/good/turned.jpg", exif=exif)
    for path in part.rglob("dent/*_mask.png"):
        Image.fromarray(~np.asarray(Image.open(path).convert("L"))).save(path)
    (part / "test" / "black").mkdir()
    Image.new("RGB", (32, 32)).save(part / "test" / "black" / "000.png")
    output = apc_bench("data", "check", data, "--reserve", "3", code=2).output
    assert "note: reading: 1 photo turned as the EXIF data asks" in output
    assert "warning: large masks: 6 of 6 masks of dent mark more than half of the image" in output
    assert "'test/black/000.png': every pixel is the same: there is nothing to see" in output
    assert "small range" not in output
    for path in part.rglob("*.png"):
        if "ground_truth" not in path.parts:
            Image.fromarray(np.asarray(Image.open(path).convert("L")) // 8).save(path)
    (part / "train/good/turned.jpg").unlink()
    assert "small range" in apc_bench("data", "check", data, "--reserve", "3", code=2).output
