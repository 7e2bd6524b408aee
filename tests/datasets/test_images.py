"""From files to arrays: every kind of pixel becomes the right numbers, every bad file one line,
every resize lands where it should.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms.v2 import CenterCrop, Resize

from apc_bench.datasets import decoding
from apc_bench.datasets.decoding import decode_into
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.datasets.masks import read_mask
from apc_bench.datasets.samples import Category, Sample
from apc_bench.errors import DataError

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.stack([RAMP, RAMP.T, 255 - RAMP], axis=2)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", len(head))
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


def png_16_bit_colour(values: np.ndarray) -> bytes:
    """A PNG with 16 bits per channel, which Pillow reads and cannot write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("pixels", [RAMP, COLOUR], ids=["grey", "colour"])
def test_eight_bit_pixels_are_read_as_they_are(tmp_path, ending, pixels):
    read = read_image(saved(tmp_path / f"a.{ending}", Image.fromarray(pixels)))
    assert read.dtype == np.uint8
    assert np.array_equal(
        read, np.broadcast_to(pixels[..., None], (8, 8, 3)) if pixels.ndim == 2 else pixels
    )


HELD = {
    "tiff": ("1", "L", "P", "RGB", "CMYK", "YCbCr"),
    "png": ("1", "L", "P", "RGB"),
    "jpg": ("L", "RGB", "CMYK"),
    "bmp": ("1", "L", "P", "RGB"),
}


@pytest.mark.parametrize(
    ("ending", "mode"), [(ending, mode) for ending, modes in HELD.items() for mode in modes]
)
def test_every_mode_that_a_file_can_hold_becomes_three_channels(tmp_path, ending, mode):
    image = Image.new("RGB", (5, 3), (200, 30, 30)).convert(mode)
    found = read_image(saved(tmp_path / f"x.{ending}", image))
    assert (found.shape, found.dtype) == ((3, 5, 3), np.uint8)
    assert np.abs(found.astype(int) - np.asarray(image.convert("RGB"))).max() <= (
        16 if ending == "jpg" else 1
    )


def test_jpeg_is_read_to_within_its_loss(tmp_path):
    read = read_image(
        saved(tmp_path / "a.jpg", Image.fromarray(COLOUR), quality=100, subsampling=0)
    )
    assert np.abs(read.astype(int) - COLOUR).max() <= 6


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_grey_is_rescaled_and_not_clipped(tmp_path, ending):
    values = np.array([[0, 128, 129, 256], [257, 32768, 60000, 65535]], np.uint16)
    read = read_image(saved(tmp_path / f"a.{ending}", Image.fromarray(values)))
    assert np.array_equal(
        read[..., 0], [[0, 0, 1, 1], [1, 128, 233, 255]]
    )  # the nearest of value / 257
    assert (read == read[..., :1]).all()


def test_sixteen_bit_colour_is_rescaled_and_not_clipped(tmp_path):
    values = np.array([[[0, 257, 65535], [32896, 60000, 300]]], np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit_colour(values))
    assert np.abs(read_image(tmp_path / "a.png") - values / 257).max() <= 1


def test_palettes_give_their_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 0, 255, 255, 255])
    expected = [[[10, 20, 30], [200, 100, 0]], [[255, 255, 255], [200, 100, 0]]]
    assert np.array_equal(read_image(saved(tmp_path / "a.png", image)), expected)
    see_through = read_image(saved(tmp_path / "b.png", image, transparency=1))
    assert see_through[0, 1].tolist() == [0, 0, 0]
    assert see_through[0, 0].tolist() == [10, 20, 30]


def test_alpha_is_composed_on_black(tmp_path):
    colour = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    read = read_image(saved(tmp_path / "a.png", Image.fromarray(colour)))
    assert read[0, 0].tolist() == [200, 100, 50]
    assert read[0, 1].tolist() == [0, 0, 0]
    assert np.abs(read[0, 2] - np.array([200, 100, 50]) * 128 / 255).max() <= 1
    grey = read_image(saved(tmp_path / "b.png", Image.fromarray(colour[..., 2:]).convert("LA")))
    assert grey.shape == (1, 3, 3)


def test_one_bit_and_cmyk_become_colour(tmp_path):
    bits = read_image(saved(tmp_path / "a.png", Image.fromarray(RAMP > 100)))
    assert np.array_equal(bits[..., 1], (RAMP > 100) * 255)
    inks = Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    assert read_image(saved(tmp_path / "b.tif", inks))[0, 0].tolist() == [0, 255, 255]


def test_of_a_phones_jpeg_with_several_pictures_the_photo_is_read(tmp_path):
    photo, preview = (
        Image.fromarray(np.kron(COLOUR, np.full((n, n, 1), 1, np.uint8))) for n in (4, 2)
    )
    path = tmp_path / "phone.jpg"
    photo.save(path, "MPO", save_all=True, append_images=[preview], quality=95)
    alone = saved(tmp_path / "alone.jpg", photo, quality=95)
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert np.array_equal(read_image(path), read_image(alone))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_data_asks(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.kron(COLOUR[:6], np.ones((8, 8, 1), np.uint8)))
    options = {"lossless": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", picture, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    assert np.array_equal(read_image(path), np.asarray(expected))
    assert (read_image(path).shape[0] > 48) == (orientation >= 5)


def _bad_files() -> dict[str, tuple[str, bytes]]:
    def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    png = encoded(noise, "PNG")
    return {
        "empty.png": ("empty file", b""),
        "text.jpg": ("not an image", b"this is no picture\n" * 9),
        "program.png": (
            "not an image",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        ),  # Pillow would start Ghostscript
        "cut.jpg": ("cannot be decoded", encoded(noise, "JPEG")[:900]),
        "cut.png": ("cannot be decoded", png[: len(png) // 2]),
        "flipped.png": ("cannot be decoded", png[:60] + bytes([png[60] ^ 255]) + png[61:]),
        "bomb.png": ("more than 100,000,000", png_header(20000, 20000)),
        "frames.tif": (
            "several frames",
            encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        ),
        "frames.png": (
            "several frames",
            encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        ),
        "float.tif": (
            "floating-point",
            encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
        ),
        "wide.tif": (
            "values from",
            encoded(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"),
        ),
    }


BAD = _bad_files()


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, name):
    reason, data = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as error:
        read_image(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.png: .*No such file"):
        read_mask(tmp_path / "none.png", None)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]),
    st.integers(0, 10**6),
    st.integers(0, 255),
    st.integers(0, 10**6),
)
def test_damaged_bytes_never_raise_anything_but_a_data_error(
    tmp_path_factory, kind, place, value, length
):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind.lower()}"
    path.write_bytes(data[: max(1, length % (2 * len(data)))])
    try:
        assert read_image(path).ndim == 3
    except DataError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("values", "anomalous"),
    [
        ([[0, 255], [255, 0]], [[0, 1], [1, 0]]),
        ([[0, 127], [128, 255]], [[0, 0], [1, 1]]),  # the edge of a smoothed mask
        ([[0, 1], [2, 40]], [[0, 1], [1, 1]]),  # label ids
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
    ],
    ids=["black and white", "threshold", "label ids", "nothing"],
)
def test_masks_are_binary_at_128_and_label_ids_count_from_1(tmp_path, values, anomalous):
    grey = Image.fromarray(np.array(values, np.uint8))
    for name, image in (
        ("grey.png", grey),
        ("colour.png", grey.convert("RGB")),
        ("alpha.png", grey.convert("RGBA")),
    ):
        mask = read_mask(saved(tmp_path / name, image), None)
        assert mask.dtype == bool
        assert np.array_equal(mask, np.array(anomalous, bool)), name


@pytest.mark.parametrize(
    ("values", "anomalous"),
    [
        ([0, 65535, 32896], [0, 1, 1]),
        ([0, 32895, 65535], [0, 0, 1]),
        ([0, 255, 1], [0, 1, 0]),
        ([0, 1, 300], [0, 1, 1]),
    ],
    ids=["full range", "threshold", "eight bits in sixteen", "label ids"],
)
def test_sixteen_bit_masks_follow_the_same_rule(tmp_path, values, anomalous):
    mask = read_mask(
        saved(tmp_path / "a.png", Image.fromarray(np.array([values], np.uint16))), None
    )
    assert mask[0].tolist() == [bool(value) for value in anomalous]


def test_one_bit_masks_and_palettes_follow_what_is_seen(tmp_path):
    anomalous = RAMP > 100
    assert np.array_equal(
        read_mask(saved(tmp_path / "bits.png", Image.fromarray(anomalous)), None), anomalous
    )
    labels = Image.fromarray((RAMP > 100) * np.uint8(3), "L").convert("P")
    labels.putpalette(
        [0, 0, 0, 128, 0, 0, 0, 128, 0, 64, 0, 0]
    )  # the palette of a labelling program: id 3 is dark
    assert np.array_equal(read_mask(saved(tmp_path / "labels.png", labels), None), anomalous)
    white_first = Image.fromarray(np.uint8(~anomalous), "L").convert("P")
    white_first.putpalette(
        [255, 255, 255, 0, 0, 0]
    )  # what a program that makes files small may write
    assert np.array_equal(read_mask(saved(tmp_path / "white.png", white_first), None), anomalous)


SIZES = st.integers(16, 96)
SIDES = st.integers(1, 400)


@given(SIDES, SIDES, SIZES)
def test_a_letterbox_keeps_the_shape_and_fills_the_longer_side(height, width, size):
    place = Geometry(size, "letterbox").place(height, width)
    assert max(place.resized_height, place.resized_width) == size
    for side, resized, offset in (
        (height, place.resized_height, place.top),
        (width, place.resized_width, place.left),
    ):
        assert abs(resized - max(1.0, side * size / max(height, width))) <= 0.5
        assert offset >= 0
        assert size - resized - offset in (offset, offset + 1)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.sampled_from([28, 56, 64, 99, 224]))
def test_a_crop_lies_where_torchvision_resizes_and_crops_to(height, width, size):
    assume(max(height, width) <= 20 * min(height, width))
    torch_resized = Resize(round(size * 256 / 224))(torch.zeros(1, height, width))
    place = Geometry(size, "crop").place(height, width)
    assert (place.resized_height, place.resized_width) == tuple(torch_resized.shape[1:])
    coordinates = torch.stack(
        torch.meshgrid(*(torch.arange(side) for side in torch_resized.shape[1:]), indexing="ij")
    )
    assert CenterCrop(size)(coordinates)[:, 0, 0].tolist() == [-place.top, -place.left]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (1024, 1024), (300, 517), (700, 320)])
def test_the_crop_of_the_paper_is_resize_256_and_centre_224(height, width):
    """The same pixels as the reference code's transforms, whose filter is the bilinear one."""
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    for name in ("bilinear", "bicubic"):
        resized = Resize(256, interpolation=Image.Resampling[name.upper()])(image)
        fitted = Geometry(224, "crop", name).apply(pixels)
        assert np.array_equal(fitted, np.asarray(CenterCrop(224)(resized)))


def test_a_square_resize_reaches_every_border():
    mask = np.zeros((40, 90), bool)
    mask[0, 0] = mask[-1, -1] = True
    grown = Geometry(360, "square").apply_mask(mask)
    assert grown[0, 0]
    assert grown[-1, -1]
    assert grown.sum() == 2 * 9 * 4


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["square", "letterbox", "crop"]))
def test_masks_are_resized_with_the_nearest_pixel_and_lie_where_the_image_lies(
    height, width, resize
):
    assume(resize != "crop" or max(height, width) <= 20 * min(height, width))
    mask = np.random.default_rng(height * 61 + width).random((height, width)) < 0.4
    place = Geometry(32, resize).place(height, width)
    fitted = Geometry(32, resize).apply_mask(mask)
    agrees = np.zeros((32, 32), bool)
    for rows in nearest(height, place.resized_height):
        for columns in nearest(width, place.resized_width):
            expected = np.zeros((32, 32), bool)
            for row in range(max(0, place.top), min(32, place.top + place.resized_height)):
                for column in range(max(0, place.left), min(32, place.left + place.resized_width)):
                    expected[row, column] = mask[
                        rows[row - place.top], columns[column - place.left]
                    ]
            agrees |= fitted == expected
    assert agrees.all()


def nearest(side: int, resized: int) -> list[list[int]]:
    """For each resized pixel the one whose area holds its centre; where that falls on an edge, the
    one after it or before it.
    """
    centres = [((2 * index + 1) * side, 2 * resized) for index in range(resized)]
    return [
        [over // under for over, under in centres],
        [(over - 1) // under for over, under in centres],
    ]


def test_outside_a_letterboxed_image_there_is_black():
    fitted = Geometry(32, "letterbox").apply(np.full((10, 20, 3), 200, np.uint8))
    assert (fitted[8:24] == 200).all()
    assert (fitted[:8] == 0).all()
    assert (fitted[24:] == 0).all()


def make_samples(folder: Path) -> Category:
    """A normal image, and anomalous ones whose mask stays, is missing, and lies at the border that
    a crop cuts off.
    """
    generator = np.random.default_rng(0)
    samples = []
    for name, kind, box in (
        ("a", "good", None),
        ("b", "dent", (20, 40, 20, 40)),
        ("c", "dent", None),
        ("d", "dent", (0, 2, 0, 2)),
    ):
        Image.fromarray(generator.integers(0, 255, (64, 48, 3), np.uint8)).save(
            folder / f"{name}.png"
        )
        mask = None
        if box:
            values = np.zeros((64, 48), np.uint8)
            values[box[0] : box[1], box[2] : box[3]] = 255
            Image.fromarray(values).save(folder / f"{name}_mask.png")
            mask = f"{name}_mask.png"
        samples.append(Sample(f"{name}.png", mask, kind, False, name))
    return Category("part", folder, tuple(samples))


def decode_all(category: Category, geometry: Geometry, threads: int = 4):
    count, size = len(category.samples), geometry.image_size
    pixels, masks = np.full((count, 3, size, size), 7, np.uint8), np.ones((count, size, size), bool)
    return pixels, masks, *decode_into(category, geometry, pixels, masks, threads=threads)


@pytest.mark.parametrize("resize", ["square", "letterbox", "crop"])
def test_a_category_decoded_at_once_equals_its_images_one_by_one(tmp_path, resize):
    category, geometry = make_samples(tmp_path), Geometry(32, resize)
    pixels, masks, placement, state, bad = decode_all(category, geometry)
    assert bad == {}
    for row, sample in enumerate(category.samples):
        assert np.array_equal(
            pixels[row].transpose(1, 2, 0), geometry.apply(read_image(tmp_path / sample.image))
        )
        expected = (
            geometry.apply_mask(read_mask(tmp_path / sample.mask, None))
            if sample.mask
            else np.zeros((32, 32), bool)
        )
        assert np.array_equal(masks[row], expected)
        place = geometry.place(64, 48)
        assert placement[row].tolist() == [
            64,
            48,
            place.resized_height,
            place.resized_width,
            place.top,
            place.left,
        ]
    assert state.tolist() == [
        "normal",
        "present",
        "none",
        "emptied" if resize == "crop" else "present",
    ]


def test_every_bad_file_is_collected_and_the_others_are_decoded(tmp_path):
    category = make_samples(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    Image.new("L", (64, 48)).save(tmp_path / "b_mask.png")  # sides swapped
    pixels, _, _, _, bad = decode_all(category, Geometry(32, "square"))
    assert set(bad) == {"a.png", "b.png"}
    assert "a.png: empty file" in bad["a.png"]
    assert "b_mask.png: mask of 64 × 48 pixels for an image of 48 × 64" in bad["b.png"]
    assert not (pixels[3] == 7).all()


def test_an_image_too_narrow_to_crop_is_refused_and_not_blown_up(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "PIXELS_MAX", 100_000)
    Image.fromarray(np.arange(6000, dtype=np.uint16)[:, None] * 10).save(tmp_path / "a.png")
    category = Category("part", tmp_path, (Sample("a.png", None, "good", True, "a"),))
    assert "too narrow" in decode_all(category, Geometry(32, "crop"))[-1]["a.png"]
    assert decode_all(category, Geometry(32, "letterbox"))[-1] == {}
