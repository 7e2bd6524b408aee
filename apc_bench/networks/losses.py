"""The three auxiliary losses, L = 10·L_cls + L_segm + L_recon (docs/method.md section 3)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from apc_bench.networks.batches import Batch
from apc_bench.networks.unet import Predictions
from apc_bench.settings.detectors import ApcSettings

TASKS = ("classification", "segmentation", "reconstruction")
FOCAL_GAMMA = 2.0


def task_losses(
    predicted: Predictions, batch: Batch, settings: ApcSettings, positive_weight: float
) -> dict[str, Tensor]:
    """The losses of the tasks that are switched on, unweighted: scalars, float32, on the batch's
    device, in the order of TASKS. `positive_weight` multiplies anomalous pixels in the
    cross-entropy.
    """
    losses = {}
    if settings.losses.classification:
        losses["classification"] = F.binary_cross_entropy_with_logits(
            predicted.classes.float(), batch.anomalous.float()
        )
    if settings.losses.segmentation:
        logits = predicted.masks.float()
        losses["segmentation"] = _segmentation(logits, batch, settings, positive_weight)
    if settings.losses.reconstruction:
        images = predicted.images.float()
        losses["reconstruction"] = _reconstruction(images, batch, settings)
    return losses


def total_loss(losses: dict[str, Tensor], settings: ApcSettings) -> Tensor:
    """The weighted sum of the tasks' losses, a scalar (docs/method.md section 3)."""
    weights: dict[str, Any] = settings.losses.model_dump()
    return torch.stack([weights[task] * loss for task, loss in losses.items()]).sum()


def _segmentation(
    logits: Tensor, batch: Batch, settings: ApcSettings, positive_weight: float
) -> Tensor:
    """Mean over the pixels of images whose mask is known; an anomalous image without one has no
    place here.
    """
    if settings.segmentation_loss == "focal":
        entropy = F.binary_cross_entropy_with_logits(logits, batch.masks, reduction="none")
        pixels = entropy * (1 - torch.exp(-entropy)) ** FOCAL_GAMMA
    else:
        weight = torch.full((), positive_weight, device=logits.device)
        pixels = F.binary_cross_entropy_with_logits(
            logits, batch.masks, reduction="none", pos_weight=weight
        )
    return _mean_where(pixels, batch.masked[:, None, None])


def _reconstruction(predicted: Tensor, batch: Batch, settings: ApcSettings) -> Tensor:
    """Mean squared error on all images; with `normal_pixels` only where nothing is anomalous,
    images of unknown mask left out.
    """
    error = (predicted - batch.images).square().mean(dim=1)
    if settings.reconstruct == "all":
        return error.mean()
    unknown = batch.anomalous & ~batch.masked
    return _mean_where(error, (batch.masks < 0.5) & ~unknown[:, None, None])


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    weight = chosen.to(values.dtype).expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1)
