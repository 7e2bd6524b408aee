"""What the measurements run on: one synthetic category of PEERS' size, one set of ResNet-18
weights, its patch features. Made on the spot.

All tools get the same files. The weights are drawn with a fixed seed, so that nothing needs the
network; speed does not depend on them.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchvision import models

from apc_bench.bank.patches import patch_features
from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category
from apc_bench.datasets.synthetic import make_dataset
from apc_bench.networks.backbones import Backbone, normalise
from apc_bench.networks.loading import load_backbone
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded

CATEGORY = "washer"
TRAIN, GOOD, SIZE = 60, 20, 256
LAYERS = ("layer2", "layer3")
THREADS = os.cpu_count() or 1


@cache
def folder() -> Path:
    """Where the inputs lie: $APC_BENCH_INPUTS, so that the runner's processes share them."""
    return Path(os.environ["APC_BENCH_INPUTS"])


@cache
def category() -> Category:
    """60 normal training images, 20 normal and 30 anomalous test images of 256 px in MVTec layout,
    as in docs/speed.md, "The peers".
    """
    root = folder() / "data"
    if not root.is_dir():
        make_dataset(root, categories=(CATEGORY,), size=SIZE, train=TRAIN, good=GOOD, per_type=10)
    return read_dataset(root).categories[0]


@cache
def images() -> Decoded:
    """The category, decoded at 256 px."""
    return decoded(Cache(folder() / "cache"), category(), "bench", Geometry(SIZE, "square"))


@cache
def weights() -> Path:
    """A torchvision state dict of ResNet-18, drawn with seed 0."""
    path = folder() / "resnet18.pth"
    if not path.is_file():
        torch.manual_seed(0)
        torch.save(models.resnet18().state_dict(), path)
    return path


def backbone() -> Backbone:
    """A fresh ResNet-18 with these weights."""
    return load_backbone("resnet18", weights())[0]


def rows(*, training: bool) -> list[int]:
    """Rows of the decoded array: training or test images."""
    return [row for row, sample in enumerate(category().samples) if sample.training == training]


@cache
def training_patches() -> torch.Tensor:
    """(61,440, 1024) float32: patch features of the training images."""
    path = folder() / "patches.pt"
    if not path.is_file():
        torch.save(_patches(), path)
    found: torch.Tensor = torch.load(path)
    return found


@torch.inference_mode()
def _patches() -> torch.Tensor:
    network, parts = backbone(), []
    chosen = np.asarray(images().images[rows(training=True)])
    for start in range(0, len(chosen), 16):
        stages = network(normalise(torch.from_numpy(chosen[start : start + 16])), last="layer3")
        parts.append(
            patch_features(
                [stages[layer] for layer in LAYERS],
                neighbourhood=3,
                pretrain_dim=1024,
                target_dim=1024,
            )
        )
    return torch.cat(parts).flatten(0, 1)
