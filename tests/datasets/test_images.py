"""From files to arrays: every mode that factories have, resized as told, and one line for what cannot be read."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import make_category
from torchvision.transforms import v2

from apc_bench.datasets.images import Geometry, decode_into, read_image, read_mask
from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import DataError


def test_sixteen_bits_are_rescaled_and_not_clipped(tmp_path):
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    for ending in ("png", "tiff"):
        Image.fromarray(values).save(tmp_path / f"deep.{ending}")
        assert read_image(tmp_path / f"deep.{ending}")[0, :, 0].tolist() == [0, 1, 100, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
@pytest.mark.parametrize("ending", ["tiff", "png", "jpg", "bmp"])
def test_every_mode_becomes_three_channels_of_eight_bits(tmp_path, mode, ending):
    image = Image.new("RGB", (5, 3), (200, 30, 30)).convert(mode)
    try:
        image.save(tmp_path / f"x.{ending}")
    except OSError:
        pytest.skip(f"{ending} cannot hold {mode}")
    found = read_image(tmp_path / f"x.{ending}")
    assert found.shape == (3, 5, 3)
    assert found.dtype == np.uint8
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(found.astype(int) - expected).max() <= (16 if ending == "jpg" else 1)


def test_alpha_is_composed_on_black(tmp_path):
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (2, 2), (200, 255)).save(tmp_path / "solid.png")
    assert read_image(tmp_path / "clear.png").max() == 0
    assert read_image(tmp_path / "solid.png").min() == 200


def test_what_cannot_be_read_is_named_in_one_line(tmp_path):
    Image.new("RGB", (64, 64), 9).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tiff")
    header = bytearray(data)
    header[16:24] = (40000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(header)
    Image.new("L", (4, 4)).save(tmp_path / "several.tiff", save_all=True, append_images=[Image.new("L", (4, 4), 1)])
    for name in ("cut.png", "empty.png", "text.jpg", "float.tiff", "bomb.png", "several.tiff", "none.png"):
        with pytest.raises(DataError) as error:
            read_image(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 127, 128, 255], [False, False, True, True]), ([0, 1, 2, 7], [False, True, True, True]), ([0, 0, 0, 0], [False] * 4)],
)
def test_masks_are_cut_at_128_or_hold_label_ids(tmp_path, values, expected):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png")[0].tolist() == expected
    palette = Image.fromarray(np.array([values], np.uint8))
    palette.putpalette([channel for value in range(256) for channel in (value, value, value)])
    palette.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png")[0].tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 300), (700, 500), (100, 90)])
def test_crop_takes_the_pixels_that_torchvision_s_resize_and_centre_crop_take(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    mine = Geometry(224, "crop").apply(image)
    pipeline = v2.Compose([v2.Resize(256, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(224)])
    reference = np.asarray(pipeline(Image.fromarray(image)))
    assert mine.shape == (224, 224, 3)
    shifts = [
        np.abs(np.roll(mine, shift, (0, 1))[2:-2, 2:-2].astype(int) - reference[2:-2, 2:-2]).mean()
        for shift in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    assert min(shifts) < 0.5 * np.abs(reference.astype(int) - reference.mean()).mean(), shifts


def test_letterbox_keeps_the_shape_and_pads_with_nothing():
    place = Geometry(100, "letterbox").place(50, 200)
    assert (place.resized_height, place.resized_width, place.top, place.left) == (25, 100, 37, 0)
    shown = Geometry(100, "letterbox").apply(np.full((50, 200, 3), 255, np.uint8))
    assert (shown[37:62] == 255).all()
    assert (shown[:37] == 0).all()
    assert (shown[62:] == 0).all()
    assert not Geometry(100, "letterbox").apply_mask(np.ones((50, 200), bool))[:37].any()


def test_square_fills_the_input():
    assert Geometry(64, "square").apply(np.full((10, 90, 3), 7, np.uint8)).tolist() == np.full((64, 64, 3), 7).tolist()


def test_masks_that_the_resize_empties_are_counted(tmp_path):
    root = make_category(tmp_path / "d", size=64)
    mask = np.zeros((64, 64), np.uint8)
    mask[0, 0] = 255  # the crop cuts the corner off
    Image.fromarray(mask).save(root / "part/ground_truth/dent/000_mask.png")
    (root / "part/ground_truth/dent/001_mask.png").unlink()
    (category,) = read_dataset(root).categories
    images, masks = np.zeros((len(category.samples), 3, 32, 32), np.uint8), np.ones((len(category.samples), 32, 32), bool)
    placement, state, bad = decode_into(category, Geometry(32, "crop"), images, masks, threads=2)
    found = {sample.image: str(kind) for sample, kind in zip(category.samples, state, strict=True)}
    assert not bad
    assert [found[f"test/dent/00{index}.png"] for index in range(4)] == ["emptied", "none", "present", "present"]
    assert found["train/good/000.png"] == "normal"
    for row, sample in enumerate(category.samples):
        expected = Geometry(32, "crop").apply(read_image(category.folder / sample.image)).transpose(2, 0, 1)
        assert torch.equal(torch.from_numpy(images[row]), torch.from_numpy(expected.copy()))
        assert masks[row].any() == (found[sample.image] == "present")
    assert placement[:, :2].tolist() == [[64, 64]] * len(category.samples)


def test_every_unreadable_file_is_told_and_a_mask_of_another_size_is_one(tmp_path):
    root = make_category(tmp_path / "d")
    (root / "part/train/good/001.png").write_bytes(b"x")
    Image.new("L", (9, 9), 255).save(root / "part/ground_truth/dent/003_mask.png")
    (category,) = read_dataset(root).categories
    images, masks = np.zeros((len(category.samples), 3, 32, 32), np.uint8), np.zeros((len(category.samples), 32, 32), bool)
    _, _, bad = decode_into(category, Geometry(32, "square"), images, masks, threads=2)
    assert set(bad) == {"train/good/001.png", "test/dent/003.png"}
    assert "mask of 9 × 9 pixels for an image of 32 × 32" in bad["test/dent/003.png"]
