"""The patches that APC+'s classifier learns from: which count as anomalous, and what views add."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.patch_examples import patch_examples
from apc_bench.detectors.protocol import Images, Training
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.detectors import ApcPlusSettings

SIZE = 64
WEIGHTS = Path(str(files("apc_bench.networks") / "builtin.safetensors"))
SMALL = {"pretrain_dim": 16, "target_dim": 16}


def data(masked: bool = True) -> Training:
    """Eight grey images, and three drawn ones with a white square of 24 pixels, masks known."""
    generator = np.random.default_rng(0)
    array = generator.integers(90, 120, (11, 3, SIZE, SIZE)).astype(np.uint8)
    masks = np.zeros((3, SIZE, SIZE), bool)
    for row, start in enumerate((0, 16, 40)):
        masks[row, start : start + 24, start : start + 24] = True
    array[8:][np.broadcast_to(masks[:, None], (3, 3, SIZE, SIZE))] = 255
    names = tuple(f"{row}.png" for row in range(11))
    normal, drawn = (
        Images(array, np.arange(*rows), names[slice(*rows)], names[slice(*rows)])
        for rows in ((0, 8), (8, 11))
    )
    return Training(
        normal=normal,
        learnable=normal,
        calibration=None,
        anomalous=drawn,
        masks=masks,
        masked=np.full(3, masked),
        seed=3,
        device="cpu",
        mixed_precision=False,
        memo=lambda key, shape, fill: None,
    )


def examples(given: Training, **settings: int) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = ApcPlusSettings.model_validate({**SMALL, **settings})
    backbone, _ = load_backbone("builtin", WEIGHTS)
    source = FeatureSource(backbone, chosen, device="cpu", memo=given.memo, remembered=None)
    return patch_examples(given, source, chosen)


def test_without_views_patches_are_those_of_the_images_by_their_masks():
    given = data()
    normal, anomalous = examples(given, classifier_views=0, classifier_normal_views=0)
    side = SIZE // 8
    shares = given.masks.reshape(3, side, 8, side, 8).mean((2, 4))
    assert len(anomalous) == (shares >= 0.3).sum()
    assert len(normal) == 8 * side**2 + (shares == 0).sum()


@pytest.mark.parametrize(("views", "normal_views"), [(4, 0), (0, 5), (4, 5), (2, 500)])
def test_views_add_patches_of_both_kinds(views, normal_views):
    given = data()
    plain = examples(given, classifier_views=0, classifier_normal_views=0)
    chosen = {"classifier_views": views, "classifier_normal_views": normal_views}
    normal, anomalous = examples(given, **chosen)
    again = examples(given, **chosen)
    assert torch.equal(normal, again[0]) and torch.equal(anomalous, again[1])
    patches = (SIZE // 8) ** 2
    beside = len(normal) - len(plain[0]) - min(normal_views, 8) * patches
    assert (len(anomalous) > len(plain[1])) is bool(views)
    assert 0 <= beside <= 3 * views * patches
    white = torch.cat([plain[1], anomalous]).mean(0)
    grey = normal.mean(0)
    distance = (white - grey).norm()
    assert (anomalous - grey).norm(dim=1).mean() > 0.7 * distance, "views show the anomaly too"
