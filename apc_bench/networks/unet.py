"""The U-Net-style decoder and the three heads that an extractor wears while it is fine-tuned
(docs/method.md section 3); dropped at test time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from apc_bench.networks.backbones import Backbone

JOINED_MAX = 512
SKIPS: Mapping[str, frozenset[str]] = {
    "all": frozenset({"stem", "layer1", "layer2", "layer3"}),
    "deep": frozenset({"layer2", "layer3"}),
    "none": frozenset(),
}


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

    Each step up halves the channels of the deeper stage, joins the next shallower stage of the
    backbone and convolves; the last one reaches the input's size. For ResNet-50 at 224 px: 2048×7×7
    → 1024 + layer3 → 512 → 256 + layer2 → 256 → 128 + layer1 → 128 → 64 + stem → 64 → 32×224×224. A
    backbone without layer4 starts at its deepest stage, which is then not the paper's APC.
    """

    def __init__(
        self, backbone: Backbone, *, skips: Literal["all", "deep", "none"] = "all"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.deepest = backbone.stages[-1]
        self.joined = SKIPS[skips]
        self.shallower = tuple(reversed(backbone.stages[:-1]))
        self.ups, self.joins = nn.ModuleDict(), nn.ModuleDict()
        channels = backbone.channels[self.deepest]
        self.classifier = nn.Linear(channels, 1)
        for stage in self.shallower:
            up = channels // 2
            self.ups[stage] = nn.ConvTranspose2d(channels, up, kernel_size=2, stride=2)
            channels = min(up, JOINED_MAX)
            skipped = backbone.channels[stage] if stage in self.joined else 0
            self.joins[stage] = _block(up + skipped, channels)
        self.last = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 2, 2, stride=2),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(inplace=True),
        )
        self.segmentation = nn.Conv2d(channels // 2, 1, kernel_size=1)
        self.reconstruction = nn.Conv2d(channels // 2, 3, kernel_size=1)

    def forward(self, images: Tensor) -> Predictions:
        """Normalised images (n, 3, h, w) float32 -> predictions on the same device."""
        stages = self.backbone(images, last=self.deepest)
        decoded = stages[self.deepest]
        classes = self.classifier(decoded.mean(dim=(2, 3)))[:, 0]
        for stage in self.shallower:
            skip = stages[stage]
            decoded = _crop(self.ups[stage](decoded), skip)
            if stage in self.joined:
                decoded = torch.cat([decoded, skip], dim=1)
            decoded = self.joins[stage](decoded)
        decoded = _crop(self.last(decoded), images)
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


def _crop(larger: Tensor, like: Tensor) -> Tensor:
    """Doubling an odd size's half gives one pixel too many."""
    return larger[..., : like.shape[-2], : like.shape[-1]]
