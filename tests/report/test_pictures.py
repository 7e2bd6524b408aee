import base64
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.recognise import recognise
from apc_bench.report.pictures import (
    CELLS,
    CELLS_MAX,
    Patch,
    colour_bar,
    crop_around,
    map_address,
    outline_address,
    photos_of,
)
from apc_bench.store.info import RunInfo

Make = Callable[..., Any]


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_fine_map_is_drawn_coarser_but_keeps_its_largest_value() -> None:
    values = np.full((200, 150), -2.0, np.float32)
    values[131, 77] = 4.0
    picture = np.asarray(opened(map_address(values)).convert("RGB"), int)
    assert max(picture.shape[:2]) <= CELLS_MAX
    assert (picture.sum(axis=2) > 500).sum() == 1


def test_an_outline_is_clear_inside_and_outside() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:30] = True
    shown = np.asarray(opened(outline_address(mask)).convert("RGBA"))[..., 3] > 0
    assert shown.sum() == 2 * 10 + 2 * 20 - 4
    assert not shown[12:18, 12:28].any()


@pytest.mark.parametrize("resize", ["square", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64)])
def test_a_crop_shows_what_the_detector_had_at_that_patch(
    resize: Any, size: tuple[int, int]
) -> None:
    generator = np.random.default_rng(3)
    coarse = Image.fromarray(generator.integers(0, 255, (6, 6, 3), np.uint8))
    original = np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    geometry = Geometry(64, resize)
    seen = geometry.apply(original)
    for row, column in ((3, 4), (8, 7), (11, 9)):
        patch = Patch(row, column, (16, 16))
        crop = crop_around(patch, original, geometry)
        middle = slice(len(crop) * 2 // CELLS, len(crop) * 3 // CELLS)
        wanted = (
            seen[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4].astype(float).mean(axis=(0, 1))
        )
        assert crop[middle, middle].astype(float).mean(axis=(0, 1)) == pytest.approx(wanted, abs=12)


@pytest.mark.parametrize("recorded", [True, False], ids=["of today", "of an earlier version"])
def test_a_mask_of_label_ids_is_shown_whichever_version_made_the_run(tmp_path, recorded):
    """Runs that record no encodings had each mask read by itself."""
    (tmp_path / "part").mkdir()
    marked = np.zeros((32, 32), np.uint8)
    marked[4:12, 6:20] = 3
    Image.fromarray(marked).save(tmp_path / "part" / "mask.png")
    Image.fromarray(marked * 9 + 5).save(tmp_path / "part" / "photo.png")
    encoding = recognise(tmp_path / "part", ["photo.png"], [("photo.png", "mask.png")])
    encodings = {"part": encoding.as_json()} if recorded else {}
    info = RunInfo.from_json({"encodings": encodings} if recorded else {})
    settings = {"image_size": 32, "resize": "square"}
    results = SimpleNamespace(seeds=[0], settings=settings, info=info)
    run = SimpleNamespace(split=lambda *_: SimpleNamespace(masks={"photo.png": ("mask.png",)}))
    photos = photos_of(results, run, "part", tmp_path)
    assert np.array_equal(photos.mask("photo.png", anomalous=True), marked > 0)


def chunk(png: bytes, name: bytes) -> tuple[int, int]:
    """Where a chunk begins and ends, with its length, name and checksum."""
    start = png.index(name) - 4
    return start, start + 12 + int.from_bytes(png[start : start + 4])


def test_a_flat_map_has_all_its_levels_and_shows_them_with_the_whole_palette() -> None:
    """What page.js does when each map is to be seen in its own contrast."""
    ramp = np.linspace(0.5, 0.53, 64, dtype=np.float32).reshape(8, 8)
    flat, bar = (
        base64.b64decode(address.partition(",")[2]) for address in (map_address(ramp), colour_bar())
    )
    shared = np.asarray(Image.open(io.BytesIO(flat)).convert("RGB"), int)
    assert np.ptp(shared.reshape(-1, 3), axis=0).max() <= 3
    start, end = chunk(flat, b"PLTE")
    whole = slice(*chunk(bar, b"PLTE"))
    own = np.asarray(Image.open(io.BytesIO(flat[:start] + bar[whole] + flat[end:])).convert("RGB"))
    colours = np.asarray(Image.open(io.BytesIO(bar)).convert("RGB"))[0]
    assert np.array_equal(own.reshape(-1, 3), colours)
