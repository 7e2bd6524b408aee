"""What the measurements run on: one synthetic category of PEERS' size, one set of ResNet-18
weights, its patch features, made on the spot; or a category of MVTec AD and ImageNet weights, where
they lie beside the repository.

All tools get the same files. The synthetic category's weights are drawn with a fixed seed, so that
nothing needs the network.
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

ON = os.environ.get("APC_BENCH_ON", "")
"""`CATEGORY/BACKBONE` of the real ones; nothing: the synthetic category."""

SHARED = Path(__file__).resolve().parents[3] / "shared"
REAL_SIZE = 224
REAL_WEIGHTS = {
    "resnet18": SHARED / "weights" / "resnet18_layers123_folded.pth",
    "resnet50": SHARED / "weights" / "resnet50_imagenet_trunk_fp16.pth",
}
REAL_CATEGORIES = ("pill", "screw")


def real_ones() -> bool:
    """Whether real images and weights are there."""
    folders = [SHARED / "data" / "mvtec_ad" / name for name in REAL_CATEGORIES]
    return all(path.exists() for path in (*folders, *REAL_WEIGHTS.values()))


@cache
def folder() -> Path:
    """Where the inputs lie: $APC_BENCH_INPUTS, so that the runner's processes share them."""
    return Path(os.environ["APC_BENCH_INPUTS"])


@cache
def category() -> Category:
    """60 normal training images, 20 normal and 30 anomalous test images of 256 px in MVTec layout,
    as in docs/speed.md, "The peers"; or the real one.
    """
    if ON:
        root, name = SHARED / "data" / "mvtec_ad", ON.split("/")[0]
        return read_dataset(root, categories=[name]).categories[0]
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
    """A torchvision state dict of ResNet-18, drawn with seed 0; or of the real backbone."""
    if ON:
        return REAL_WEIGHTS[backbone_name()]
    path = folder() / "resnet18.pth"
    if not path.is_file():
        torch.manual_seed(0)
        torch.save(models.resnet18().state_dict(), path)
    return path


def backbone_name() -> str:
    """Of the backbone that these weights are for."""
    return ON.split("/")[1] if ON else "resnet18"


def backbone() -> Backbone:
    """A fresh one with these weights."""
    return load_backbone(backbone_name(), weights())[0].eval()


def geometry() -> dict[str, str]:
    """The sweep's settings of how images become inputs: the reference code's, of real ones."""
    return {"resize": "crop", "interpolation": "bilinear"} if ON else {"resize": "square"}


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


def _patches() -> torch.Tensor:
    return patches_of(backbone(), images().images, np.array(rows(training=True))).flatten(0, 1)


@torch.inference_mode()
def patches_of(network: Backbone, array: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
    """Patch features (n, patches, 1024) float32 of some rows of decoded images."""
    parts = []
    for start in range(0, len(chosen), 16):
        batch = torch.from_numpy(np.ascontiguousarray(array[chosen[start : start + 16]]))
        stages = network(normalise(batch), last="layer3")
        parts.append(
            patch_features(
                [stages[layer] for layer in LAYERS],
                neighbourhood=3,
                pretrain_dim=1024,
                target_dim=1024,
            )
        )
    return torch.cat(parts)
