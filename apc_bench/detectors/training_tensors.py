"""What a training may learn from, as tensors on its device."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apc_bench.detectors.protocol import Training
from apc_bench.networks.batches import TrainingTensors


def training_tensors(data: Training) -> TrainingTensors:
    """Normal and drawn images (n, 3, s, s) uint8 with the drawn ones' masks, copied to
    `data.device`.
    """

    def tensor(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(data.device)

    normal, anomalous = data.normal, data.anomalous
    return TrainingTensors(
        tensor(normal.array[normal.rows]),
        tensor(anomalous.array[anomalous.rows]),
        tensor(data.masks),
        tensor(data.masked),
    )
