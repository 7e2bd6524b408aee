"""The U-Net-style decoder and the three heads that an extractor wears while it is fine-tuned
(docs/method.md section 3); dropped at test time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apc_bench.networks.backbones import Backbone, module_name

JOINED_MAX = 512
NARROWEST = 8
SKIPPED_FROM: Mapping[str, float] = {"all": 1, "deep": 8, "none": math.inf}
"""The stride from which on stages are joined: of a ResNet deep are layer2 and layer3."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of n images of h × w pixels: class logits (n,), mask logits (n, h, w), reconstructions (n, 3,
    h, w) in normalised image space.
    """

    classes: Tensor
    masks: Tensor
    images: Tensor


class UNet(nn.Module):
    """Backbone, decoder of transposed convolutions, and heads for classification, segmentation and
    reconstruction.

    Each step up divides the channels of the deeper stage as it multiplies its grid (by two between
    a ResNet's stages, by one between a vision transformer's), joins the next shallower stage of the
    backbone and convolves; the last ones double it up to the input's size. For ResNet-50 at 224 px:
    2048×7×7 → 1024 + layer3 → 512 → 256 + layer2 → 256 → 128 + layer1 → 128 → 64 + stem → 64 →
    32×224×224. A backbone without layer4 starts at its deepest stage, which is then not the paper's
    APC.
    """

    def __init__(
        self, backbone: Backbone, *, skips: Literal["all", "deep", "none"] = "all"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.deepest = backbone.decoded[-1]
        self.shallower = tuple(reversed(backbone.decoded[:-1]))
        least = SKIPPED_FROM[skips]
        self.joined = {stage for stage in self.shallower if backbone.strides[stage] >= least}
        self.ups, self.joins = nn.ModuleDict(), nn.ModuleDict()
        channels, stride = backbone.channels[self.deepest], backbone.strides[self.deepest]
        self.classifier = nn.Linear(channels, 1)
        for stage in self.shallower:
            factor = max(1, stride // backbone.strides[stage])
            up, stride = max(channels // factor, NARROWEST), backbone.strides[stage]
            self.ups[module_name(stage)] = nn.ConvTranspose2d(channels, up, factor, stride=factor)
            channels = min(up, JOINED_MAX)
            skipped = backbone.channels[stage] if stage in self.joined else 0
            self.joins[module_name(stage)] = _block(up + skipped, channels)
        self.last, channels = _last(channels, doublings=int(math.log2(stride)))
        self.segmentation = nn.Conv2d(channels, 1, kernel_size=1)
        self.reconstruction = nn.Conv2d(channels, 3, kernel_size=1)

    def forward(self, images: Tensor) -> Predictions:
        """Normalised images (n, 3, h, w) float32 -> predictions on the same device."""
        stages = self.backbone(images, last=self.deepest)
        decoded = stages[self.deepest]
        classes = self.classifier(decoded.mean(dim=(2, 3)))[:, 0]
        for stage in self.shallower:
            skip = stages[stage]
            decoded = _fitted(self.ups[module_name(stage)](decoded), skip)
            if stage in self.joined:
                decoded = torch.cat([decoded, skip], dim=1)
            decoded = self.joins[module_name(stage)](decoded)
        decoded = _fitted(self.last(decoded), images)
        return Predictions(classes, self.segmentation(decoded)[:, 0], self.reconstruction(decoded))

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of decoder and heads: all that are not the backbone's."""
        own = {id(parameter) for parameter in self.backbone.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in own]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _last(channels: int, *, doublings: int) -> tuple[nn.Sequential, int]:
    """From the shallowest stage towards the input's size, and the channels there."""
    layers: list[nn.Module] = []
    for _ in range(doublings):
        out = max(channels // 2, NARROWEST)
        layers += [nn.ConvTranspose2d(channels, out, 2, stride=2), nn.BatchNorm2d(out)]
        layers.append(nn.ReLU(inplace=True))
        channels = out
    return nn.Sequential(*layers), channels


def _fitted(decoded: Tensor, like: Tensor) -> Tensor:
    """Doubling an odd size's half gives one pixel too many, which is cut off; a grid that no
    doubling reaches (a transformer's patches of 14 pixels) is stretched to.
    """
    more = [own - other for own, other in zip(decoded.shape[-2:], like.shape[-2:], strict=True)]
    if all(0 <= pixels <= 1 for pixels in more):
        return decoded[..., : like.shape[-2], : like.shape[-1]]
    return F.interpolate(decoded, size=like.shape[-2:], mode="bilinear", align_corners=False)
