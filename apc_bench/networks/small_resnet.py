"""The `builtin` backbone's network: a small residual network with torchvision's names, so that
everything that reads stages works on it.
"""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1


class SmallResNet(nn.Module):
    """A ResNet of basic blocks with stem, layer1, layer2 and layer3 (strides 2, 4, 8 and 16 of the
    input) and no layer4.

    `widths` are the channels of layer1 to layer3, `blocks` their depths; the stem has `widths[0]`
    channels. With the defaults about 0.7 million parameters, 1.4 MB in float16.
    """

    def __init__(
        self, widths: tuple[int, int, int] = (32, 64, 128), blocks: tuple[int, int, int] = (2, 2, 2)
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._layer(widths[0], widths[0], blocks[0], stride=1)
        self.layer2 = self._layer(widths[0], widths[1], blocks[1], stride=2)
        self.layer3 = self._layer(widths[1], widths[2], blocks[2], stride=2)

    @staticmethod
    def _layer(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
        downsample = None
        if stride != 1 or inputs != outputs:
            downsample = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
        first = BasicBlock(inputs, outputs, stride, downsample)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(depth - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (n, 3, h, w) -> layer3 (n, widths[2], h/16, w/16)."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        out: Tensor = self.layer3(self.layer2(self.layer1(stem)))
        return out
