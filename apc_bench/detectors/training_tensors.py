"""What goes into a training and what comes out of it: images as tensors on its device, and the
trained weights as bytes with their curves.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from apc_bench.detectors.protocol import Trained, Training
from apc_bench.networks.batches import TrainingTensors
from apc_bench.networks.finetune import TrainingStep


def training_tensors(data: Training) -> TrainingTensors:
    """Learnable normal and drawn images (n, 3, s, s) uint8 with the drawn ones' masks, copied to
    `data.device`.
    """

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(data.device)

    return TrainingTensors(
        normal=tensor(data.learnable.pixels()),
        anomalous=tensor(data.anomalous.pixels()),
        masks=tensor(data.masks),
        masked=tensor(data.masked),
    )


def as_trained(
    tensors: Mapping[str, Tensor], curves: Sequence[TrainingStep], notes: tuple[str, ...]
) -> Trained:
    """The tensors, of any device, as safetensors bytes, with the curves as rows."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    rows = [dataclasses.asdict(step) for step in curves]
    return Trained(safetensors.torch.save(stored), rows, notes)
