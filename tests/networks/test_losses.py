"""Each task's loss against its formula, and the weighted sum."""

import pytest
import torch

from apc_bench.networks.batches import Batch
from apc_bench.networks.losses import task_losses, total_loss
from apc_bench.networks.unet import Predictions
from apc_bench.settings.detectors import ApcSettings

GENERATOR = torch.Generator().manual_seed(0)


def some(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR)


@pytest.fixture
def batch():
    predicted = Predictions(some(4), some(4, 8, 8), some(4, 3, 8, 8))
    images = some(4, 3, 8, 8)
    masks = (some(4, 8, 8) > 1).float()
    masks[2:] = 0
    anomalous = torch.tensor([True, True, False, False])
    masked = torch.tensor([True, False, True, True])
    return predicted, Batch(images, masks, anomalous, masked)


def test_the_total_is_ten_times_classification_plus_segmentation_plus_reconstruction(batch):
    losses = task_losses(*batch, ApcSettings(), 3.0)
    assert total_loss(losses, ApcSettings()).item() == pytest.approx(
        10 * losses["classification"].item()
        + losses["segmentation"].item()
        + losses["reconstruction"].item(),
        rel=1e-6,
    )


def test_classification_is_binary_cross_entropy(batch):
    p = torch.sigmoid(batch[0].classes)
    y = batch[1].anomalous.float()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    assert task_losses(*batch, ApcSettings(), 3.0)["classification"].item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_segmentation_counts_the_pixels_of_known_masks_alone_anomalous_ones_more(batch):
    predicted, (_, masks, _, masked) = batch
    p = torch.sigmoid(predicted.masks)
    pixels = -(3.0 * masks * p.log() + (1 - masks) * (1 - p).log())
    losses = task_losses(*batch, ApcSettings(), 3.0)
    assert losses["segmentation"].item() == pytest.approx(pixels[masked].mean().item(), rel=1e-5)


def test_focal_segmentation_weighs_easy_pixels_less(batch):
    predicted, (_, masks, _, masked) = batch
    p = torch.sigmoid(predicted.masks)
    right = torch.where(masks > 0, p, 1 - p)
    expected = (-((1 - right) ** 2) * right.log())[masked].mean()
    losses = task_losses(*batch, ApcSettings(segmentation_loss="focal"), 3.0)
    assert losses["segmentation"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_reconstruction_is_the_mean_squared_error_of_all_or_of_normal_pixels(batch):
    predicted, (images, masks, anomalous, masked) = batch
    error = (predicted.images - images).square().mean(dim=1)
    assert task_losses(*batch, ApcSettings(), 3.0)["reconstruction"].item() == pytest.approx(
        error.mean().item(), rel=1e-5
    )
    normal = (masks < 0.5) & ~(anomalous & ~masked)[:, None, None]
    losses = task_losses(*batch, ApcSettings(reconstruct="normal_pixels"), 3.0)
    assert losses["reconstruction"].item() == pytest.approx(error[normal].mean().item(), rel=1e-5)


@pytest.mark.parametrize("task", ["classification", "segmentation", "reconstruction"])
def test_a_task_of_weight_zero_is_not_computed(batch, task):
    settings = ApcSettings.model_validate({"losses": {task: 0}})
    assert set(task_losses(*batch, settings, 3.0)) == {
        "classification",
        "segmentation",
        "reconstruction",
    } - {task}
