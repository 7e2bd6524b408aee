"""Fine-tuning: deterministic, of fixed length, balanced, and what is frozen stays."""

import itertools

import pytest
import torch

from apc_bench.errors import TrainingError
from apc_bench.networks.augment import augment, draw
from apc_bench.networks.backbones import Backbone, ResidualBackbone
from apc_bench.networks.batches import Choice, TrainingTensors, draw_choices, make_batch
from apc_bench.networks.finetune import finetune
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.settings.detectors import ApcSettings

SIZE = 32
UNCHANGED = {"jitter": 0, "shift": 0, "rotation": 0, "flip": False, "scale": 0, "crop": None}


def tensors_of_noise(size: int = SIZE) -> TrainingTensors:
    generator = torch.Generator().manual_seed(1)
    normal = torch.randint(0, 120, (6, 3, size, size), dtype=torch.uint8, generator=generator)
    anomalous = torch.randint(0, 120, (3, 3, size, size), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(3, size, size, dtype=torch.bool)
    masks[:, 4:16, 4:16] = True
    anomalous[masks[:, None].expand_as(anomalous)] = 255
    return TrainingTensors(normal, anomalous, masks, torch.ones(3, dtype=torch.bool))


def backbone() -> Backbone:
    torch.manual_seed(0)
    return ResidualBackbone("builtin", SmallResNet()).eval()


def test_the_same_seed_gives_the_same_weights_and_curves():
    torch.set_num_threads(1)
    one, two, other = backbone(), backbone(), backbone()
    _, first = finetune(
        one, tensors_of_noise(), ApcSettings(steps=3, batch=4), seed=5, mixed_precision=False
    )
    torch.rand(7)  # the caller's random numbers must not matter
    _, second = finetune(
        two, tensors_of_noise(), ApcSettings(steps=3, batch=4), seed=5, mixed_precision=False
    )
    finetune(
        other, tensors_of_noise(), ApcSettings(steps=3, batch=4), seed=6, mixed_precision=False
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    assert not all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )
    assert [(step.loss, step.rate) for step in first] == [(step.loss, step.rate) for step in second]


def test_it_has_a_fixed_length_and_a_cosine_rate_and_logs_every_task():
    _, curves = finetune(
        backbone(), tensors_of_noise(), ApcSettings(steps=8, batch=4), seed=0, mixed_precision=False
    )
    assert [step.step for step in curves] == list(range(8))
    assert curves[0].rate == pytest.approx(3e-5)
    assert curves[4].rate == pytest.approx(1.5e-5)
    assert all(a.rate > b.rate for a, b in itertools.pairwise(curves))
    for step in curves:
        parts = (step.classification, step.segmentation, step.reconstruction)
        assert None not in parts
        assert step.loss == pytest.approx(10 * parts[0] + parts[1] + parts[2], rel=1e-4)


def test_it_learns_to_tell_the_drawn_images_apart():
    _, curves = finetune(
        backbone(),
        tensors_of_noise(),
        ApcSettings(steps=40, batch=6, extractor_learning_rate=1e-3),
        seed=0,
        mixed_precision=False,
    )
    start = sum(step.classification for step in curves[:5])
    assert sum(step.classification for step in curves[-5:]) < 0.5 * start


def test_frozen_batch_norm_keeps_its_statistics_and_trainable_does_not():
    for mode, kept in (("frozen", True), ("trainable", False)):
        network = backbone()
        before = network.bn1.running_mean.clone()
        finetune(
            network,
            tensors_of_noise(),
            ApcSettings(steps=2, batch=4, batch_norm=mode),
            seed=0,
            mixed_precision=False,
        )
        assert torch.equal(network.bn1.running_mean, before) is kept
        assert not network.training


def test_every_batch_has_its_share_of_anomalous_images_and_every_image_its_turn():
    settings = ApcSettings(steps=12, batch=4, anomalous_share=0.5, **UNCHANGED)
    given = tensors_of_noise()
    seen = torch.zeros(len(given.normal), dtype=torch.int64)
    choices = draw_choices(given, settings, seed=0)
    for step in range(settings.steps):
        choice = Choice(*(part[step] for part in choices))
        images, masks, anomalous, masked = make_batch(given, choice, side=SIZE)
        assert anomalous.tolist() == [True, True, False, False]
        assert masked.all()
        assert masks[:2].flatten(1).any(1).all()
        assert not masks[2:].any()
        for image in images[2:]:
            distance = ((image - _normalised(given.normal)) ** 2).flatten(1).sum(1)
            seen[distance.argmin()] += 1
    assert seen.max() == seen.min() == 12 * 2 // 6


def _normalised(images: torch.Tensor) -> torch.Tensor:
    from apc_bench.networks.backbones import normalise

    return normalise(images)


def test_a_loss_that_is_not_finite_ends_the_training_with_the_reason():
    with pytest.raises(TrainingError, match="lower extractor_learning_rate"):
        finetune(
            backbone(),
            tensors_of_noise(),
            ApcSettings(steps=30, batch=4, extractor_learning_rate=1e30, heads_learning_rate=1e30),
            seed=0,
            mixed_precision=False,
        )


def test_augmentation_moves_image_and_mask_alike():
    """A white square on black stays white exactly where its mask says so, but for the interpolated
    edge.
    """
    masks = torch.zeros(5, 48, 48)
    masks[:, 16:32, 12:36] = 1
    images = (masks * 255)[:, None].repeat(1, 3, 1, 1)
    settings = ApcSettings(**{**UNCHANGED, "shift": 0.1, "rotation": 30, "flip": True})
    moved, moved_masks = augment(images, masks, draw(5, settings, torch.Generator().manual_seed(0)))
    assert not torch.equal(moved_masks, masks)
    inner = torch.nn.functional.max_pool2d(-moved_masks[:, None], 3, 1, 1)[:, 0] == -1
    outer = torch.nn.functional.max_pool2d(moved_masks[:, None], 3, 1, 1)[:, 0] == 0
    assert inner.sum() > 500
    assert (moved[:, 0][inner] > 254).all()
    assert (moved[:, 0][outer] < 1).all()


def test_without_flips_a_pose_stays_one():
    """Over many draws the left half stays left."""
    masks = torch.zeros(64, 32, 32)
    masks[:, :, :8] = 1
    settings = ApcSettings(**{**UNCHANGED, "rotation": 5, "shift": 0.05})
    draws = draw(len(masks), settings, torch.Generator().manual_seed(0))
    _, moved = augment(masks[:, None].repeat(1, 3, 1, 1) * 255, masks, draws)
    assert (moved[:, :, :16].sum((1, 2)) > moved[:, :, 16:].sum((1, 2))).all()
