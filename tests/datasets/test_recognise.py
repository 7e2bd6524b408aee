"""What files mean is found over a whole category: the right pixels of every kind of mask and of
every number of bits, or the file by name.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from apc_bench.datasets.decoding import decode_into
from apc_bench.datasets.encoding import PLAIN, Encoding, MaskEncoding
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.datasets.masks import read_mask
from apc_bench.datasets.recognise import recognise
from apc_bench.datasets.samples import Category, Sample
from apc_bench.files.hashing import digest
from apc_bench.plan import fingerprint
from tests.datasets.test_images import png_16_bit_colour

RNG = np.random.default_rng(0)
PHOTO = gaussian_filter(RNG.normal(120, 60, (40, 60, 3)), (2, 2, 0)).clip(0, 255).astype(np.uint8)


def blob(number: int) -> np.ndarray:
    """(40, 60) bool: an anomaly, elsewhere in each."""
    mask = np.zeros((40, 60), bool)
    mask[8 + number : 20, 10 : 22 + 5 * number] = True
    mask[30:33, 50:53] = True
    return mask


TRUTHS = [blob(number) for number in range(3)]

Draw = Callable[[np.ndarray, int], Image.Image]


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colours, np.uint8(alpha) * 255]))


def full(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((40, 60, 3), colour, np.uint8)


def palette(truth: np.ndarray, colours: list[int], **info: object) -> Image.Image:
    image = Image.fromarray(np.uint8(truth)).convert("P")
    image.putpalette(colours)
    image.info.update(info)
    return image


def ids(truth: np.ndarray, number: int) -> np.ndarray:
    """50 in every mask, 150 beside it in the second."""
    values = truth * 50
    values[30:33, 50:53] = 150 if number == 1 else 50
    return values


DRAWN: dict[str, Draw] = {
    "alpha of white": lambda truth, _: with_alpha(full((255, 255, 255)), truth),
    "alpha of black": lambda truth, _: with_alpha(full((0, 0, 0)), truth),
    "alpha of grey": lambda truth, _: with_alpha(full((9, 9, 9)), truth).convert("LA"),
    "a layer cut out of the photo": lambda truth, _: with_alpha(PHOTO, truth),
    "red on nothing": lambda truth, _: with_alpha(truth[..., None] * full((255, 0, 0)), truth),
    "see-through palette": lambda truth, _: palette(
        truth, [255, 255, 255, 255, 255, 255], transparency=0
    ),
    "opaque alpha": lambda truth, _: Image.fromarray(truth).convert("RGBA"),
    "classes by colour": lambda truth, number: Image.fromarray(
        truth[..., None] * full(((128, 0, 0), (0, 64, 0), (0, 0, 192))[number])
    ),
    "colour on white": lambda truth, _: Image.fromarray(
        np.where(truth[..., None], full((200, 0, 0)), full((255, 255, 255)))
    ),
    "dark palette": lambda truth, _: palette(truth, [0, 0, 0, 0, 0, 90]),
    "palette, white first": lambda truth, _: palette(~truth, [255, 255, 255, 0, 0, 0]),
    "palette without colours": lambda truth, _: palette(truth, [0, 0, 0, 0, 0, 0]),
    "ids": lambda truth, number: Image.fromarray(np.uint8(ids(truth, number))),
    "ids in colour": lambda truth, number: Image.fromarray(np.uint8(ids(truth, number))).convert(
        "RGB"
    ),
    "ids of instances": lambda truth, number: Image.fromarray(
        np.uint16(truth * (26001 + 9000 * number))
    ),
    "ids to 3": lambda truth, number: Image.fromarray(np.uint8(truth * (number + 1))),
    "twelve bits": lambda truth, _: Image.fromarray(np.uint16(truth * 4095)),
    "black and white": lambda truth, _: Image.fromarray(truth),
}


def category_of(folder: Path, masks: list[Image.Image], ending: str = "png", **options: object):
    """A photo for each mask, and the masks."""
    samples = []
    for number, mask in enumerate(masks):
        Image.fromarray(PHOTO).save(folder / f"{number}.png")
        mask.save(folder / f"{number}_mask.{ending}", **options)
        name = f"{number}.png"
        samples.append(Sample(name, f"{number}_mask.{ending}", "dent", False, name))
    return Category("part", folder, tuple(samples))


def understood(category: Category, bits: int | None = None) -> Encoding:
    images = [sample.image for sample in category.samples]
    pairs = [(sample.image, mask) for sample in category.samples for mask in sample.masks]
    return recognise(category.folder, images, pairs, bits=bits, threads=2)


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_of_mask_marks_what_was_drawn(tmp_path, kind):
    masks = [DRAWN[kind](truth, number) for number, truth in enumerate(TRUTHS)]
    category = category_of(tmp_path, masks)
    encoding = understood(category)
    assert not encoding.refused
    for sample, truth in zip(category.samples, TRUTHS, strict=True):
        assert np.array_equal(read_mask(tmp_path / sample.mask, encoding.masks), truth)


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (150, 0, 0)])
def test_a_lossy_mask_marks_nearly_what_was_drawn(tmp_path, colour):
    large = [np.kron(truth, np.ones((6, 6), bool)) for truth in TRUTHS]
    masks = [Image.fromarray(truth[..., None] * np.uint8(colour)) for truth in large]
    category = category_of(tmp_path, masks, "jpg", quality=75)
    encoding = understood(category)
    assert not encoding.refused
    for sample, truth in zip(category.samples, large, strict=True):
        mask = read_mask(tmp_path / sample.mask, encoding.masks)
        assert (mask != truth).mean() < 0.01


def test_soft_edges_are_cut_at_half_and_never_taken_for_ids(tmp_path):
    soft = [gaussian_filter(truth * 255.0, 1.5) for truth in TRUTHS]
    category = category_of(tmp_path, [Image.fromarray(np.uint8(values)) for values in soft])
    encoding = understood(category)
    for sample, values in zip(category.samples, soft, strict=True):
        expected = np.uint8(values) >= 128
        assert np.array_equal(read_mask(tmp_path / sample.mask, encoding.masks), expected)


def overlay(truth: np.ndarray) -> Image.Image:
    """The photo with the defect in red, as many programs export it."""
    return Image.fromarray(np.where(truth[..., None], PHOTO // 2 + full((127, 0, 0)), PHOTO))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (Image.fromarray(PHOTO), "shades of a photo"),
        (Image.fromarray(PHOTO).convert("L"), "shades of a photo"),
        (overlay(TRUTHS[0]), "shades of a photo"),
        (with_alpha(TRUTHS[1][..., None] * full((255, 255, 255)), TRUTHS[0]), "same pixels"),
        (with_alpha(full((0, 0, 0)), TRUTHS[0]), "other masks"),
    ],
    ids=["photo", "grey photo", "overlay", "alpha beside colour", "alpha where others have colour"],
)
def test_a_mask_without_a_clear_meaning_is_refused_by_name(tmp_path, odd, reason):
    category = category_of(tmp_path, [*map(Image.fromarray, TRUTHS[:2]), odd])
    encoding = understood(category)
    assert list(encoding.refused) == ["2_mask.png"]
    bad = unreadable(Category("part", tmp_path, category.samples, encoding))
    assert list(bad) == ["2.png"]
    assert "2_mask.png: " in bad["2.png"]
    assert reason in bad["2.png"]


def test_colours_on_a_background_that_others_do_not_have_are_refused(tmp_path):
    on_black = [Image.fromarray(truth[..., None] * full((255, 0, 0))) for truth in TRUTHS[:2]]
    on_green = np.where(TRUTHS[2][..., None], full((255, 0, 0)), full((0, 255, 0)))
    category = category_of(tmp_path, [*on_black, Image.fromarray(on_green)])
    assert "background" in understood(category).refused["2_mask.png"]


def unreadable(category: Category) -> dict[str, str]:
    """What decoding refuses, and why."""
    images = np.zeros((len(category.samples), 3, 64, 64), np.uint8)
    masks = np.zeros((len(category.samples), 64, 64), np.bool_)
    return decode_into(category, Geometry(64, "square"), images, masks, threads=2)[2]


def by_itself(levels: np.ndarray) -> np.ndarray:
    """How a mask was read before its category counted."""
    brightest = levels.max(axis=2) if levels.ndim == 3 else levels
    return brightest >= (128 if brightest.max() >= 128 else 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [(0,), (0, 255), (0, 1), (0, 50), (0, 50, 200), (0, 127, 128), (9, 255)]
            ),
            st.sampled_from(["L", "RGB", "1", "RGBA"]),
            st.integers(0, 2**32 - 1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_category_keeps_its_fingerprint_only_where_no_mask_reads_otherwise(
    tmp_path_factory, drawn
):
    folder = tmp_path_factory.mktemp("masks")
    masks = []
    for values, mode, seed in drawn:
        choice = np.random.default_rng(seed).choice(np.array(values, np.uint8), (4, 6))
        # Thin lines too, of which no value fills an area.
        thin = np.zeros((16, 24), np.uint8)
        thin[::3] = np.repeat(choice, 4, axis=1)[[0, 1, 2, 3, 0, 1]]
        drawn_pixels = thin if seed % 2 else np.kron(choice, np.ones((4, 4), np.uint8))
        masks.append(Image.fromarray(drawn_pixels).convert(mode))
    category = category_of(folder, masks)
    encoding = understood(category)
    if encoding.usual:
        for sample in category.samples:
            levels = np.asarray(Image.open(folder / sample.mask).convert("RGB"))
            mask = read_mask(folder / sample.mask, encoding.masks)
            assert np.array_equal(mask, by_itself(levels))


def test_whatever_decides_pixels_is_in_the_fingerprint_and_nothing_where_all_is_plain(tmp_path):
    plain = category_of(tmp_path, [Image.fromarray(truth) for truth in TRUTHS])
    assert understood(plain) == PLAIN
    hashes = dict.fromkeys((path.name for path in tmp_path.iterdir()), "0")
    before = digest([[[f"{n}.png", "0", "0", "dent", f"{n}.png"] for n in range(3)], []])
    prints = {fingerprint(plain, hashes, {})}
    assert prints == {before}, "what earlier versions stored is found"
    others = (
        {"bits": 10},
        {"bits": 12},
        {"masks": MaskEncoding("alpha")},
        {"masks": MaskEncoding(meaning="ids")},
        {"stored": frozenset({"0.png"})},
    )
    for decided in others:
        category = replace(plain, encoding=Encoding(**decided, usual=False))
        prints.add(fingerprint(category, hashes, {}))
    assert len(prints) == 1 + len(others)


def deep(folder: Path, largest: list[int], ending: str = "png") -> Category:
    """Photos of 16 bits a pixel with values up to these."""
    samples = []
    for number, top in enumerate(largest):
        values = np.linspace(0, top, 48).astype(np.uint16).reshape(6, 8)
        name = f"{number}.{ending}"
        Image.fromarray(values).save(folder / name)
        samples.append(Sample(name, None, "good", True, name))
    return Category("part", folder, tuple(samples))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(
    ("largest", "bits"),
    [(1023, 10), (900, 10), (4095, 12), (2994, 12), (16383, 14), (65535, 16), (200, 8), (3, 8)],
)
def test_bits_hold_the_largest_value_of_a_category_and_no_file_is_scaled_by_itself(
    tmp_path, ending, largest, bits
):
    category = deep(tmp_path, [largest // 3, largest], ending)
    encoding = understood(category)
    assert encoding.bits == bits
    dark, bright = (read_image(tmp_path / f"{n}.{ending}", encoding.bits) for n in range(2))
    expected = np.linspace(0, largest, 48).astype(np.uint16).reshape(6, 8)
    assert np.abs(bright[..., 0] - expected * (255 / (2**bits - 1))).max() <= 0.5
    assert dark.max() == pytest.approx(bright.max() / 3, abs=1)
    assert len(np.unique(bright)) >= min(40, largest)
    assert encoding.usual == (bits == 16)
    assert bool(encoding.notes) == (bits != 16)


def test_bits_can_be_said_and_a_value_beyond_them_is_named(tmp_path):
    category = deep(tmp_path, [900, 1800])
    assert understood(category, bits=12).bits == 12
    encoding = understood(category, bits=10)
    bad = unreadable(Category("part", tmp_path, category.samples, encoding))
    assert list(bad) == ["1.png"]
    assert "values up to 1800, which 10 bits do not" in bad["1.png"]


def test_colours_of_sixteen_bits_that_would_lose_their_levels_are_refused(tmp_path):
    values = RNG.integers(0, 4096, (6, 8, 3))
    for name, factor in (("0.png", 1), ("1.png", 16)):
        (tmp_path / name).write_bytes(png_16_bit_colour(values * factor))
    low = Category("part", tmp_path, (Sample("0.png", None, "good", True, "0"),))
    assert "upper ones are empty" in understood(low).refused["0.png"]
    full_range = Category("part", tmp_path, (Sample("1.png", None, "good", True, "1"),))
    assert understood(full_range) == PLAIN


@pytest.mark.parametrize("opacity", [0, 100, 255])
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_an_alpha_that_is_the_same_everywhere_is_ignored(tmp_path, opacity, ending):
    alpha = np.full((40, 60), opacity, np.uint8)
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.dstack([PHOTO, alpha])).save(path, **options)
    assert np.array_equal(read_image(path), PHOTO)
    sample = Sample(path.name, None, "good", True, "a")
    encoding = understood(Category("part", tmp_path, (sample,)))
    assert encoding.usual == (opacity == 255)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (7, 80, 9)])
def test_an_image_of_one_colour_is_an_error_by_name(tmp_path, colour):
    Image.fromarray(full(colour)).save(tmp_path / "flat.png")
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    samples = tuple(Sample(name, None, "good", True, name) for name in ("flat.png", "photo.png"))
    bad = unreadable(Category("part", tmp_path, samples))
    assert list(bad) == ["flat.png"]
    assert "every pixel is the same" in bad["flat.png"]


def turned_category(
    folder: Path, orientations: list[int], shapes: list[tuple[int, int]], drawn: str
):
    """Turned photos whose masks are drawn `as shown` or `as stored`, and the anomalies as shown."""
    samples, truths = [], []
    for number, (orientation, (height, width)) in enumerate(zip(orientations, shapes, strict=True)):
        stored = np.zeros((height, width), bool)
        stored[2 : height // 3, 3 : width // 2] = True
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo = Image.fromarray(RNG.integers(0, 255, (height, width, 3), np.uint8))
        photo.save(folder / f"{number}.jpg", exif=exif)
        turns = {
            1: lambda a: a,
            3: lambda a: a[::-1, ::-1],
            6: lambda a: np.rot90(a, -1),
            8: lambda a: np.rot90(a),
        }
        shown = turns[orientation](stored)
        Image.fromarray(np.ascontiguousarray(shown if drawn == "as shown" else stored)).save(
            folder / f"{number}_mask.png"
        )
        name = f"{number}.jpg"
        samples.append(Sample(name, f"{number}_mask.png", "dent", False, name))
        truths.append(shown)
    return Category("part", folder, tuple(samples)), truths


@pytest.mark.parametrize(
    ("drawn", "shapes"),
    [
        ("as shown", [(30, 30)] * 4),
        ("as shown", [(30, 48), (48, 30), (30, 48), (30, 30)]),
        ("as stored", [(30, 48), (48, 30), (30, 48), (30, 30)]),
    ],
)
def test_the_mask_of_a_turned_photo_lies_on_the_defect(tmp_path, drawn, shapes):
    category, truths = turned_category(tmp_path, [1, 3, 6, 8], shapes, drawn)
    encoding = understood(category)
    assert not encoding.usual
    images = np.zeros((4, 3, 64, 64), np.uint8)
    masks = np.zeros((4, 64, 64), np.bool_)
    geometry = Geometry(64, "square")
    category = Category("part", tmp_path, category.samples, encoding)
    _, _, bad = decode_into(category, geometry, images, masks, threads=1)
    assert not bad
    for mask, truth in zip(masks, truths, strict=True):
        assert np.array_equal(mask, geometry.apply_mask(truth))


def test_where_masks_of_both_kinds_stand_a_square_one_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    shown, _ = turned_category(tmp_path / "a", [6, 6], [(30, 48), (30, 30)], "as shown")
    stored, _ = turned_category(tmp_path / "b", [6], [(30, 48)], "as stored")
    samples = [(f"a/{sample.image}", f"a/{sample.mask}") for sample in shown.samples]
    samples += [(f"b/{sample.image}", f"b/{sample.mask}") for sample in stored.samples]
    encoding = recognise(tmp_path, [image for image, _ in samples], samples)
    assert list(encoding.refused) == ["a/1.jpg"]
    assert encoding.stored == {"b/0.jpg"}


def test_an_encoding_survives_as_json(tmp_path):
    category, _ = turned_category(tmp_path, [6], [(30, 48)], "as stored")
    encoding = understood(category)
    assert Encoding.from_json(encoding.as_json()) == encoding
