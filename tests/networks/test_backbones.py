"""Promises of the backbones: their records, the stages of any residual network, and ImageNet's
normalisation.
"""

from pkgutil import resolve_name

import pytest
import torch
from torchvision import models

from apc_bench.networks.backbones import ResidualBackbone, normalise
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.settings.backbones import BACKBONES, BackboneSpec


def test_the_registry_has_exactly_these() -> None:
    assert list(BACKBONES) == [
        "resnet18",
        "resnet50",
        "wide_resnet50_2",
        "moco_v3_resnet50",
        "builtin",
    ]


@pytest.mark.parametrize(("name", "spec"), BACKBONES.items())
def test_a_record_names_the_layers_that_its_network_has(name: str, spec: BackboneSpec) -> None:
    with torch.device("meta"):
        network = resolve_name(spec.network)()
    assert ResidualBackbone(name, network).stages == ("stem", *spec.layers)


def test_normalise_is_imagenets() -> None:
    images = torch.randint(
        0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    before = images.clone()
    found = normalise(images)
    transform = models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    expected = torch.stack(
        [(images[:, c] / 255 - transform.mean[c]) / transform.std[c] for c in range(3)], dim=1
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert found.dtype == torch.float32
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(normalise(images.to(dtype)), found)
    assert torch.equal(images, before)


def test_normalise_refuses_what_is_not_rgb() -> None:
    for wrong in (
        torch.zeros(1, 1, 4, 4, dtype=torch.uint8),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
    ):
        with pytest.raises(ValueError, match="expected images"):
            normalise(wrong)


def test_a_backbone_of_any_residual_network_can_be_made() -> None:
    backbone = ResidualBackbone("own", SmallResNet((8, 16, 32), (1, 1, 1)), untrained=("layer3",))
    assert backbone.channels == {"stem": 8, "layer1": 8, "layer2": 16}
    assert backbone.strides == {"stem": 2, "layer1": 4, "layer2": 8}
