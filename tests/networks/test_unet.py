"""The decoder has docs/method.md section 3's shapes, and its heads are dropped with it."""

import pytest
import torch
from torchvision import models

from apc_bench.networks.backbones import Backbone, ResidualBackbone
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.networks.unet import UNet


def resnet50() -> Backbone:
    with torch.device("meta"):
        return ResidualBackbone("resnet50", models.resnet50(weights=None))


def test_the_decoder_for_resnet50_has_the_channels_of_the_method():
    with torch.device("meta"):
        network = UNet(resnet50())
    ups = {stage: (up.in_channels, up.out_channels) for stage, up in network.ups.items()}
    assert ups == {
        "layer3": (2048, 1024),
        "layer2": (512, 256),
        "layer1": (256, 128),
        "stem": (128, 64),
    }
    joins = {
        stage: (join[0].in_channels, join[0].out_channels) for stage, join in network.joins.items()
    }
    assert joins == {
        "layer3": (2048, 512),
        "layer2": (768, 256),
        "layer1": (384, 128),
        "stem": (128, 64),
    }
    assert (network.last[0].in_channels, network.last[0].out_channels) == (64, 32)
    assert network.classifier.in_features == 2048


@pytest.mark.parametrize(
    ("skips", "joined"),
    [("all", {"stem", "layer1", "layer2"}), ("deep", {"layer2"}), ("none", set())],
)
def test_only_the_chosen_stages_are_joined(skips, joined):
    network = UNet(ResidualBackbone("builtin", SmallResNet()), skips=skips)
    grown = {
        stage
        for stage, up in network.ups.items()
        if network.joins[stage][0].in_channels > up.out_channels
    }
    assert grown == joined


@pytest.mark.parametrize("size", [64, 96, 100, 33])
def test_predictions_have_the_size_of_the_input_even_where_it_is_odd(size):
    network = UNet(ResidualBackbone("builtin", SmallResNet()))
    found = network(torch.zeros(2, 3, size, size))
    assert found.classes.shape == (2,)
    assert found.masks.shape == (2, size, size)
    assert found.images.shape == (2, 3, size, size)


def test_heads_and_backbone_share_no_parameter_and_miss_none():
    network = UNet(ResidualBackbone("builtin", SmallResNet()))
    heads = {id(parameter) for parameter in network.head_parameters()}
    body = {id(parameter) for parameter in network.backbone.parameters()}
    assert not heads & body
    assert heads | body == {id(parameter) for parameter in network.parameters()}
