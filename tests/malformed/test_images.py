"""Images, masks and groups.csv that cannot be read or mean nothing."""

import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import apc_bench

from apc_bench.datasets.images import read_image
from apc_bench.errors import DataError

FORMATS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF"}
HEADER = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
BY_HAND = {
    "empty.png": b"",
    "text.jpg": b"no picture\n",
    "<script>alert(1)<script>.png": b"<html>",
    "program.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "archive.bmp": b"PK\3\4",
    "bomb.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + HEADER + b"\0\0\0\0",
    "quote ' \" ü.png": b"\0" * 100,
}


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def unreadable(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read_image(path)
    except DataError:
        return True
    path.unlink()
    return False


def bad_images(folder: Path, chance: random.Random) -> list[str]:
    """Files of every format, truncated and with flipped bits, that cannot be read; and some made by
    hand.
    """
    candidates: dict[str, bytes] = {}
    for ending, kind in FORMATS.items():
        whole = encoded(kind)
        for number, length in enumerate(chance.sample(range(len(whole) * 9 // 10), 14)):
            candidates[f"cut {number}.{ending}"] = whole[:length]
        for number in range(60):
            flipped = bytearray(whole)
            for _ in range(3):
                flipped[chance.randrange(min(len(whole), 120))] ^= 1 << chance.randrange(8)
            candidates[f"bits {number}.{ending}"] = bytes(flipped)
    names = [name for name, content in candidates.items() if unreadable(folder / name, content)]
    for name, content in BY_HAND.items():
        assert unreadable(folder / name, content)
        names.append(name)
    return names


def test_every_unreadable_image_is_named_by_check_and_sweep_or_left_out(refused, chance):
    """All in one dataset: `data check` lists each, a sweep names each, --skip-unreadable leaves
    them out and the page says so.
    """
    data, run = refused.dataset("images"), refused.place / "images run"
    names = bad_images(data / "part" / "train" / "good", chance)
    assert len(names) >= 150
    report = json.loads(apc_bench("data", "check", data, "--reserve", "2", "--json", code=2).output)
    findings = {each["kind"]: each["files"] for each in report["categories"][0]["findings"]}
    assert {f"train/good/{name}" for name in names} <= set(findings["unreadable"])
    places = ("--data", data, "--cache", refused.cache, "--run", run)
    sweep = ("sweep", "--job", refused.job(), *places, "--executor", "serial")
    lines = apc_bench(*sweep, code=2).output.splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert not [name for name in names if name not in error]
    skipped = apc_bench(*sweep, "--skip-unreadable").output
    assert f"left out {len(names)} images" in skipped
    page = (run / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def save(pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels).save(path)


MASKS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "of another size": ("000_mask.png", save(np.full((9, 9), 255, np.uint8))),
    "empty file": ("000_mask.png", lambda path: path.write_bytes(b"")),
    "text": ("001_mask.png", lambda path: path.write_text("no mask")),
    "truncated": ("002_mask.png", lambda path: path.write_bytes(path.read_bytes()[:40])),
    "stray": ("stray_mask.png", save(np.zeros((32, 32), np.uint8))),
    "second": ("003.png", save(np.zeros((32, 32), np.uint8))),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_named(refused, name):
    file, damage = MASKS[name]
    data = refused.dataset("masks")
    damage(data / "part" / "ground_truth" / "dent" / file)
    refused.swept(name, file, "--job", refused.job(), "--data", data)


GROUPS = {
    "no header": b"test/dent/000.png,g\n",
    "other columns": b"file,part\n1,2\n",
    "unknown image": b"image,group\ntest/dent/999.png,g\n",
    "empty group": b"image,group\ntest/dent/000.png,\n",
    "twice": b"image,group\ntest/dent/000.png,a\ntest/dent/000.png,b\n",
    "way out": b"image,group\n../../etc/passwd,a\n",
    "leak": b"image,group\ntrain/good/000.png,a\ntest/good/000.png,a\n",
    "one group": b"image,group\n" + b"".join(b"test/dent/%03d.png,a\n" % n for n in range(4)),
    "binary": b"\x89PNG\r\n\x1a\n\0\xff",
    "UTF-16": "image,group\n".encode("utf-16"),
    "NUL": b"image,group\n\0,\0\n",
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_table_of_groups_is_named(refused, name):
    data = refused.dataset("groups")
    (data / "part" / "groups.csv").write_bytes(GROUPS[name])
    culprit = "part" if name in ("leak", "one group") else "groups.csv"
    refused.swept(name, culprit, "--job", refused.job(), "--data", data)
