"""Photos that look alike: what two photos of one part are taken for, and what merely aligned parts
are not.
"""

import csv
import io
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from apc_bench.datasets.check.similar import NEAR, Sketch, alike, sketch

SIZE = 128


def bits_apart(first: Sketch, second: Sketch) -> int:
    return int(np.unpackbits(first.hash ^ second.hash).sum())


def bars(turns: Iterable[float]) -> list[Image.Image]:
    """Another part each time: a striped bar, its stripes and surface its own, turned by so many
    degrees.
    """
    generator = np.random.default_rng(5)
    images = []
    for turned in turns:
        stripes = np.sin(np.arange(96) / generator.uniform(2.5, 3.5) + generator.uniform(0, 7))
        part = np.full((SIZE, SIZE), 200.0)
        part[52:76, 16:112] = 90 + 40 * stripes + generator.normal(0, 12, (24, 96))
        image = Image.fromarray(np.clip(part, 0, 255).astype(np.uint8))
        images.append(image.rotate(turned, Image.Resampling.BILINEAR, fillcolor=200))
    return images


def sketches(images: list[Image.Image]) -> list[Sketch]:
    return [sketch(np.asarray(image)) for image in images]


def test_the_hash_heeds_neither_exposure_nor_size():
    generator = np.random.default_rng(5)
    pixels, other = (
        np.kron(generator.integers(0, 256, (8, 8), np.uint8), np.ones((8, 8), np.uint8))
        for _ in range(2)
    )
    first = sketch(pixels)
    for same in ((pixels * 0.6).astype(np.uint8), np.kron(pixels, np.ones((2, 2), np.uint8))):
        assert bits_apart(first, sketch(same)) <= NEAR
        assert float(first.details.astype(float) @ sketch(same).details) > 0.95
    assert bits_apart(first, sketch(other)) > 60


@pytest.mark.parametrize(
    "turns", [[0.0] * 60, list(np.linspace(0, 12, 60))], ids=["same", "turned"]
)
def test_parts_that_are_merely_aligned_are_seldom_alike(turns):
    found = sketches(bars(turns))
    near = sum(bits_apart(*pair) <= NEAR for pair in combinations(found, 2))
    assert near > 300, "the hash alone takes them for one part"
    groups = alike(found)
    assert sum(map(len, groups)) <= 20 and max(map(len, groups), default=0) <= 6


def test_photos_of_one_part_are_found_among_aligned_ones():
    parts = bars(np.linspace(0, 12, 40))
    buffer = io.BytesIO()
    parts[7].save(buffer, "JPEG", quality=80)
    again = {
        40: (3, parts[3]),
        41: (3, ImageEnhance.Brightness(parts[3]).enhance(0.8)),
        42: (7, Image.open(buffer)),
        43: (11, parts[11].resize((SIZE * 2, SIZE * 2), Image.Resampling.BILINEAR)),
    }
    groups = alike(sketches([*parts, *(image for _, image in again.values())]))
    for copy, (original, _) in again.items():
        assert any({copy, original} <= set(group) for group in groups)


def test_few_photos_and_photos_of_nothing():
    part, turned = bars([0, 80])
    assert alike([]) == []
    assert alike(sketches([part])) == []
    assert alike(sketches([part, part])) == [[0, 1]]
    assert alike(sketches([part, part, turned])) == [[0, 1]]
    assert alike(sketches([Image.new("L", (40, 30), grey) for grey in (10, 200)])) == [[0, 1]]


def test_what_is_found_on_magnetic_tiles_shows_one_tile(magnetic_tiles):
    """Truth: groups.csv, which is not without gaps. By the hash alone eight of ten pairs did."""
    root = magnetic_tiles / "magnetic_tile"
    group_of = {}
    for row in csv.DictReader((root / "groups.csv").read_text().splitlines()):
        group_of[row["image"]] = row["group"]
    names = sorted(group_of)
    found = [sketch(np.asarray(Image.open(root / name).convert("L"))) for name in names]
    pairs = [pair for group in alike(found) for pair in combinations(group, 2)]
    true = [pair for pair in pairs if group_of[names[pair[0]]] == group_of[names[pair[1]]]]
    there = sum(group_of[one] == group_of[two] for one, two in combinations(names, 2))
    assert len(true) > 0.95 * len(pairs)
    assert len(true) > 0.23 * there


def test_turned_screws_are_hardly_ever_alike(magnetic_tiles):
    """Each of MVTec's shows another screw; by the hash alone 35 pairs were alike."""
    root = magnetic_tiles.parent / "mvtec_ad" / "screw"
    if not root.is_dir():
        pytest.skip("the screws are not on this machine")
    paths: list[Path] = sorted([*root.glob("train/*/*.png"), *root.glob("test/*/*.png")])
    found = [sketch(np.asarray(Image.open(path).convert("L"))) for path in paths]
    assert sum(len(group) - 1 for group in alike(found)) <= 6
