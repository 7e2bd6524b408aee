"""One category of thousands of images, from files to the report, with bounded patches and bank:
seconds, memory, and how they grow.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from bench.figure import Figure, exponent
from bench.reports import timed
from PIL import Image

IMAGES = (2_000, 20_000)
SIZE, PATCHES_MAX, BANK_MAX = 128, 200_000, 20_000
TESTED = 200


def figures() -> list[Figure]:
    """The whole commands, start of Python included; memory is the largest resident size of any
    process, memory-mapped pages included.
    """
    seconds, memory, how = [], [], []
    os.environ.pop(
        "THP_MEM_ALLOC_ENABLE", None
    )  # as users run it: bench/__main__.py switches huge pages off, for peers
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        job = place / "large.yaml"
        settings = {
            "pretrain_dim": 256,
            "target_dim": 256,
            "patches_max": PATCHES_MAX,
            "bank_max": BANK_MAX,
        }
        method = {"detector": "patchcore", "backbone": "builtin", "settings": settings}
        values = {
            "image_size": SIZE,
            "resize": "square",
            "reserve": 10,
            "seeds": [0],
            "shots": [1],
            "methods": {"patchcore": method},
        }
        job.write_text(yaml.safe_dump(values))
        for images in IMAGES:
            data, run = place / f"data {images}", place / f"run {images}"
            write_category(data / "part", images)
            sweep = [
                "sweep",
                "--job",
                str(job),
                "--data",
                str(data),
                "--run",
                str(run),
                "--cache",
                str(place / "cache"),
                "--executor",
                "serial",
            ]
            spent, peak = timed([sys.executable, "-m", "apc_bench", *sweep])
            again, page = timed(
                [sys.executable, "-m", "apc_bench", "report", str(run), "--data", str(data)]
            )
            seconds.append(spent + again)
            memory.append(max(peak, page))
            how.append(
                f"{images:,}: sweep {spent:.0f} s, {peak:.2f} GiB; report {again:.0f} s,"
                f" {page:.2f} GiB"
            )
    what = (
        f"{IMAGES[-1]:,} images of {SIZE} px in one category, bank_max {BANK_MAX:,}, patches_max"
        f" {PATCHES_MAX:,}: decode, sweep, report"
    )
    return [
        Figure(what=what, value=seconds[-1], unit="s", how="; ".join(how)),
        Figure(what="the same: peak memory of a process", value=memory[-1], unit="GiB", at_most=4),
        Figure(
            what="the same: exponent in the number of images",
            value=exponent(IMAGES, seconds),
            unit="",
        ),
    ]


def write_category(folder: Path, images: int) -> None:
    """Normal training images cut at random places from one texture, with noise; TESTED good and
    half as many anomalous test images.
    """
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(60, 190, (128, 128, 3), np.uint8)).resize(
        (1024, 1024), Image.Resampling.BICUBIC
    )
    texture = np.asarray(coarse).astype(np.int16)
    for part, number in (("train/good", images), ("test/good", TESTED), ("test/spot", TESTED // 2)):
        (folder / part).mkdir(parents=True)
        for index in range(number):
            top, left = generator.integers(0, 1024 - SIZE, 2)
            pixels = texture[top : top + SIZE, left : left + SIZE] + generator.integers(
                -8, 9, (SIZE, SIZE, 3), np.int16
            )
            if part == "test/spot":
                pixels[40:60, 50:75] -= 50
                mask = np.zeros((SIZE, SIZE), np.uint8)
                mask[40:60, 50:75] = 255
                (folder / "ground_truth" / "spot").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(
                    folder / "ground_truth" / "spot" / f"{index:05}_mask.png"
                )
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / part / f"{index:05}.png", compress_level=1
            )
