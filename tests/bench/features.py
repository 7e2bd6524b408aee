"""Patch features against the plain way that unfolds every neighbourhood, and which batch and memory
format the forward pass prefers.
"""

import numpy as np
import torch
from bench import inputs, reference
from bench.figure import Figure, fastest

from apc_bench.detectors import features as product
from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.protocol import Images
from apc_bench.networks.backbones import normalise
from apc_bench.settings.detectors import PatchCoreSettings

COUNT = 32
BATCHES = (1, 2, 4, 8, 16, 32)


def figures() -> list[Figure]:
    """Ratio to the plain way and agreement with it; milliseconds of an image's forward pass by
    batch, both memory formats.
    """
    torch.set_num_threads(inputs.THREADS)
    array = np.asarray(inputs.images().images[:COUNT])
    ours, found = fastest(lambda: _ours(array))
    plain, expected = fastest(lambda: reference.features(inputs.backbone(), array), 1)
    size = f"patch features of {COUNT} images of {inputs.SIZE} px, ResNet-18"
    off = float((found - expected).abs().max() / expected.abs().max())
    last = {batch: _forward(array, batch, torch.channels_last) for batch in BATCHES}
    first = {batch: _forward(array, batch, torch.contiguous_format) for batch in BATCHES}
    formats = f"channels last {_row(last)}; channels first {_row(first)}"
    return [
        Figure(
            what=f"{size}: times the plain way (unfolded, batches of 2)",
            value=plain / ours,
            unit="×",
            how=f"{ours:.2f} s against {plain:.2f} s",
        ),
        Figure(
            what="the same: largest difference, relative to the largest value",
            value=off,
            unit="",
            at_most=1e-5,
        ),
        Figure(
            what=f"forward pass of an image in batches of {product.BATCH}, as used",
            value=last[product.BATCH],
            unit="ms",
            how=formats,
        ),
    ]


def _ours(array: np.ndarray) -> torch.Tensor:
    source = FeatureSource(
        inputs.backbone(), PatchCoreSettings(), device="cpu", memo=lambda *_: None, remembered=None
    )
    names = tuple(str(row) for row in range(len(array)))
    images = Images(array, np.arange(len(array)), names, names)
    return torch.cat([source(images, part) for part in images.batches(product.BATCH)])


@torch.inference_mode()
def _forward(array: np.ndarray, batch: int, layout: torch.memory_format) -> float:
    """Milliseconds an image, as far as layer3."""
    network = inputs.backbone().to(memory_format=layout)
    parts = [
        normalise(torch.from_numpy(array[at : at + batch])).contiguous(memory_format=layout)
        for at in range(0, COUNT, batch)
    ]
    seconds, _ = fastest(lambda: [network(part, last="layer3") for part in parts])
    return 1000 * seconds / COUNT


def _row(found: dict[int, float]) -> str:
    return ", ".join(f"{batch}: {spent:.0f}" for batch, spent in found.items())
