"""A network read stage by stage, and the normalisation of the images that it takes: what all
backbones promise, and the residual networks of our own.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apc_bench.errors import UsageError, WeightsError, listed, unknown

STRIDES = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
STAGES = tuple(STRIDES)


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of the images that a network was trained on,
    which span 0 to 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Backbone(nn.Module):
    """A network without its classifier, whose stages' maps can be read.

    `stages` are those that are read, shallow first; `channels` and `strides` (input pixels per map
    pixel) have one entry for each. `decoded` are those that a decoder climbs, all but for what
    settings read beside them. `untrained` are the stages that the weights file had nothing for:
    they are not part of the module.
    """

    stages: tuple[str, ...]
    channels: dict[str, int]
    strides: dict[str, int]
    statistics: Statistics = IMAGENET
    """Of the images that it takes."""

    def __init__(self, name: str, *, untrained: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.name = name
        self.untrained = untrained

    @property
    def decoded(self) -> tuple[str, ...]:
        """The stages that a decoder climbs, shallow first."""
        return self.stages

    def forward(self, images: Tensor, *, last: str) -> dict[str, Tensor]:
        """Normalised images (n, 3, h, w) float32 -> per stage up to `last` its map (n, channels,
        h/stride, w/stride), sizes rounded up.

        Raises `UsageError` for a stage that this network does not have, `WeightsError` for one that
        is not trained.
        """
        raise NotImplementedError

    def truncate(self, last: str) -> None:
        """Drop the stages after `last`, so that they are neither stored nor counted. Raises as
        `forward` does.
        """
        raise NotImplementedError

    def select(self, layers: Sequence[str]) -> tuple[str, ...]:
        """The stages that settings name, which are read from now on. Raises as `forward` does, and
        `UsageError` where they are not shallow first, each once.
        """
        for layer in layers:
            self.require(layer)
        return tuple(layers)

    def deepest(self, stages: Iterable[str]) -> str:
        """The deepest of some of the stages."""
        return max(stages, key=self.stages.index)

    def key(self, sha256: str) -> str:
        """What its features are remembered by, with weights of that sum."""
        return sha256

    def notes(self, side: int) -> tuple[str, ...]:
        """What a reader of the results must know of how images of `side` pixels go in."""
        return ()

    def probe(self, side: int) -> None:
        """Raises `UsageError` where images of `side` pixels cannot go in."""

    def require(self, stage: str) -> None:
        """Raises `UsageError` for a stage that this network does not have, `WeightsError` for one
        that is not trained.
        """
        if stage in self.untrained:
            raise WeightsError(
                f"backbone '{self.name}' has no trained {stage}: its weights file holds only"
                f" {listed(self.stages)}; use layers among these, or name a whole file with"
                " --weights FILE"
            )
        if stage not in self.stages:
            raise UsageError(f"backbone '{self.name}': {unknown('stage', stage, self.stages)}")


class ResidualBackbone(Backbone):
    """A residual network; its state dict has torchvision's names. The stem is the map before max
    pooling.
    """

    def __init__(self, name: str, network: nn.Module, *, untrained: tuple[str, ...] = ()) -> None:
        """Take over `network`'s conv1, bn1, relu, maxpool and those of layer1 to layer4 that it has
        and that are trained.
        """
        super().__init__(name, untrained=untrained)
        self.conv1 = network.get_submodule("conv1")
        self.bn1 = network.get_submodule("bn1")
        self.relu = network.get_submodule("relu")
        self.maxpool = network.get_submodule("maxpool")
        stages = ["stem"]
        self.channels = {"stem": _width(self.bn1)}
        for stage in STAGES[1:]:
            if hasattr(network, stage) and stage not in untrained:
                layer = network.get_submodule(stage)
                self.add_module(stage, layer)
                self.channels[stage] = _width(layer)
                stages.append(stage)
        self.stages = tuple(stages)
        self.strides = {stage: STRIDES[stage] for stage in stages}

    def forward(self, images: Tensor, *, last: str) -> dict[str, Tensor]:
        """As the base class says."""
        self.require(last)
        out = self.relu(self.bn1(self.conv1(images)))
        maps = {"stem": out}
        for stage in self.stages[1 : self.stages.index(last) + 1]:
            if stage == "layer1":
                out = self.maxpool(out)
            out = self.get_submodule(stage)(out)
            maps[stage] = out
        return maps

    def truncate(self, last: str) -> None:
        """As the base class says."""
        self.require(last)
        kept = self.stages[: self.stages.index(last) + 1]
        for stage in self.stages[len(kept) :]:
            delattr(self, stage)
            del self.channels[stage], self.strides[stage]
        self.stages = kept


def module_name(stage: str) -> str:
    """A stage's name as torch takes it for one of its own."""
    return stage.replace(".", "_")


def normalise(images: Tensor, statistics: Statistics = IMAGENET) -> Tensor:
    """Images (n, 3, h, w), uint8 or float from 0 to 255 -> float32 with the given mean and standard
    deviation, on the same device. Raises ValueError for another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected images (n, 3, h, w), got {tuple(images.shape)}")
    mean, std = _statistics(images.device, statistics)
    return (images.to(torch.float32) / 255).sub_(mean).div_(std)


@cache
@torch.inference_mode(False)
def _statistics(device: torch.device, statistics: Statistics) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, copied to the device once: a copy makes the CPU wait for a
    GPU.
    """
    mean = torch.tensor(statistics.mean, device=device).view(3, 1, 1)
    std = torch.tensor(statistics.std, device=device).view(3, 1, 1)
    return mean, std


def _width(module: nn.Module) -> int:
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    return norms[-1].num_features
