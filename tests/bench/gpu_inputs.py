"""What the measurements on a GPU run on: a synthetic category of MVTec AD's size, weights drawn at
random, and a step's switches.
"""

import multiprocessing
import os
from functools import cache, partial
from pathlib import Path

import torch
from bench.inputs import folder
from torchvision import models

from apc_bench.datasets import synthetic
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category
from apc_bench.runner import process

CATEGORY = ("washer", 1024)
TRAIN, GOOD, PER_TYPE = 209, 20, 21
SIZE, SHOTS = 224, 10


@cache
def category() -> Category:
    """209 training images, 20 normal and 63 anomalous test images of 1024 px, drawn on all
    cores.
    """
    root = folder() / "gpu"
    if not root.is_dir():
        plan = list(synthetic._plan(CATEGORY[0], train=TRAIN, good=GOOD, per_type=PER_TYPE))
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            pool.map(partial(_draw, root), plan, chunksize=4)
    return read_dataset(root).categories[0]


def _draw(root: Path, entry: tuple[str, str, int]) -> None:
    torch.set_num_threads(1)
    synthetic._write_sample(root, *entry, size=CATEGORY[1], seed=0)


@cache
def weights(backbone: str = "resnet50") -> Path:
    """A torchvision state dict, drawn with seed 0: speed does not depend on the weights."""
    path = folder() / f"{backbone}.pth"
    if not path.is_file():
        torch.manual_seed(0)
        torch.save(getattr(models, backbone)().state_dict(), path)
    return path


def set_determinism() -> None:
    """The switches that a step of the product sets on a GPU."""
    process.set_determinism("cuda", threads=4, seed=0)
