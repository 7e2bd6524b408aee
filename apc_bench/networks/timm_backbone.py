"""A model of timm read stage by stage, convolutional or a transformer, by timm's own description of
its maps.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apc_bench.errors import UsageError
from apc_bench.files.hashing import digest
from apc_bench.networks.backbones import STAGES, STRIDES, Backbone, Statistics
from apc_bench.networks.weights import Network
from apc_bench.wording import enumerated


class TimmBackbone(Backbone):
    """Stages have timm's names (`layer2`, `stages.1`, `blocks.5`). Settings may also give a stage's
    number, or one of this project's names: stem and layer1 to layer4 are the last stages at about
    2, 4, 8, 16 and 32 pixels per value. In a vision transformer, whose blocks all have one grid,
    layer1 to layer4 end its quarters.

    A transformer's class and register tokens are left out; maps are those between blocks, without
    the final norm.
    """

    def __init__(self, name: str, model: nn.Module, network: Network, *, trained: int) -> None:
        """`trained`: how many of the stages, from the first one on, have weights."""
        table = stages_of(name, model)
        names = tuple(table)
        super().__init__(name, untrained=names[trained:])
        self.model = model
        self.network = network
        self.statistics = Statistics(network.mean, network.std)
        self.names = names[:trained]
        self.channels = {stage: table[stage][0] for stage in self.names}
        self.strides = {stage: table[stage][1] for stage in self.names}
        strides = [stride for _, stride in table.values()]
        self.aliases = _aliases(names, strides)
        self.patch, self.only_side = _input_limits(model, column=len(set(strides)) == 1)
        for parameter_name, parameter in model.named_parameters():
            # Stretched to the input's grid, which has no deterministic gradient on a GPU.
            if parameter_name.endswith("pos_embed"):
                parameter.requires_grad_(False)
        self.stages = self.decoded
        self._prune(len(self.names) - 1)

    @property
    def decoded(self) -> tuple[str, ...]:
        """One stage for each grid, or in a transformer for each quarter of its blocks."""
        if len(set(self.strides.values())) == 1:
            chosen = set(self.aliases.values())
        else:
            chosen = set({self.strides[name]: name for name in self.names}.values())
        return tuple(name for name in self.names if name in chosen) or self.names[-1:]

    def forward(self, images: Tensor, *, last: str) -> dict[str, Tensor]:
        """As the base class says; the images are first resized to a side that the model takes
        (`notes`).
        """
        self.require(last)
        side = self.side_of(images.shape[-1])
        if side != images.shape[-1]:
            images = F.interpolate(
                images, size=(side, side), mode="bilinear", antialias=True, align_corners=False
            )
        wanted = self.stages[: self.stages.index(last) + 1]
        maps = self.model.forward_intermediates(  # type: ignore[operator]
            images,
            indices=[self.names.index(stage) for stage in wanted],
            stop_early=True,
            norm=False,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return dict(zip(wanted, maps, strict=True))

    def truncate(self, last: str) -> None:
        """As the base class says."""
        self.require(last)
        index = self.names.index(last)
        self._prune(index)
        for name in self.names[index + 1 :]:
            del self.channels[name], self.strides[name]
        self.names = self.names[: index + 1]
        self.stages = self.stages[: self.stages.index(last) + 1]

    def select(self, layers: Sequence[str]) -> tuple[str, ...]:
        """As the base class says; a stage may be given by its name, its number or as layer1 to
        layer4.
        """
        chosen = tuple(self._stage(layer) for layer in layers)
        order = [self.names.index(stage) for stage in chosen]
        if any(deeper <= shallower for shallower, deeper in pairwise(order)):
            meant = ", ".join(
                layer if layer == stage else f"{layer} ({stage})"
                for layer, stage in zip(layers, chosen, strict=True)
            )
            raise UsageError(
                f"layers of backbone '{self.name}' must be named shallow first, each once: {meant}"
            )
        read = {*self.stages, *chosen}
        self.stages = tuple(name for name in self.names if name in read)
        return chosen

    def key(self, sha256: str) -> str:
        """As the base class says: timm's version and the images' statistics count, too."""
        return digest([sha256, self.name, self.network.identity()])

    def side_of(self, side: int) -> int:
        """The side in pixels at which images of `side` pixels go in."""
        if self.only_side:
            return self.only_side
        return max(1, math.floor(side / self.patch + 0.5)) * self.patch

    def probe(self, side: int) -> None:
        """As the base class says."""
        try:
            with torch.inference_mode():
                maps = self(torch.zeros(1, 3, side, side), last=self.stages[-1])
        # What a model says of a size that does not divide as it needs is not documented.
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(
                f"backbone '{self.name}' takes no images of {side} px: {error}; try --image-size"
                f" {max(32, 32 * round(side / 32))}"
            ) from error
        for stage, found in maps.items():
            if found.ndim != 4 or found.shape[1] != self.channels[stage]:
                raise UsageError(
                    f"backbone '{self.name}': layer {stage} gives {tuple(found.shape)}, and not the"
                    f" {self.channels[stage]} channels that timm describes; use another model"
                )

    def notes(self, side: int) -> tuple[str, ...]:
        """That images are resized before they go in, and why."""
        taken = self.side_of(side)
        if taken == side:
            return ()
        why = "the only size that it takes"
        if not self.only_side:
            why = f"a multiple of its patches of {self.patch} px"
        return (f"backbone '{self.name}' sees images of {side} px resized to {taken} px, {why}",)

    def _stage(self, layer: str) -> str:
        everything = (*self.names, *self.untrained)
        stage = self.aliases.get(layer, layer)
        if layer in everything:
            stage = layer
        elif layer.lstrip("-").isdigit() and -len(everything) <= int(layer) < len(everything):
            stage = everything[int(layer)]
        if stage not in self.names and stage not in self.untrained:
            numbered = ", ".join(f"{number} {name}" for number, name in enumerate(self.names))
            ours = [f"{alias} ({name})" for alias, name in self.aliases.items()]
            short = f"; or {enumerated(ours, 'or')}" if ours else ""
            raise UsageError(
                f"backbone '{self.name}' has no layer '{layer}'; by name or number it has"
                f" {numbered}{short}"
            )
        if stage in self.untrained:
            self.require(stage)
        return stage

    def _prune(self, index: int) -> None:
        """Drops what comes after the stage of that number, where timm can."""
        if hasattr(self.model, "prune_intermediate_layers"):
            self.model.prune_intermediate_layers([index], prune_norm=True)  # type: ignore[operator]


def stages_of(backbone: str, model: nn.Module) -> dict[str, tuple[int, int]]:
    """Name -> channels and stride of each map that timm's model gives, shallow first. Raises
    `UsageError` where timm's description does not name each once.
    """
    table = {}
    entries = list(model.feature_info)  # type: ignore[arg-type]
    for entry in entries:
        table[entry["module"] or "stem"] = (int(entry["num_chs"]), int(entry["reduction"]))
    if len(table) < len(entries):
        raise UsageError(
            f"backbone '{backbone}' has branches side by side, so its layers are in no order; use"
            " another model of timm"
        )
    return table


def _aliases(names: Sequence[str], strides: Sequence[int]) -> dict[str, str]:
    """Our names of stages -> timm's."""
    if len(set(strides)) > 1:
        levels = {
            round(math.log2(stride)): name for name, stride in zip(names, strides, strict=True)
        }
        return {
            alias: levels[int(math.log2(stride))]
            for alias, stride in STRIDES.items()
            if int(math.log2(stride)) in levels
        }
    depth, quarters = len(names), STAGES[1:]
    if depth < len(quarters):
        return dict(zip(quarters, names, strict=False))
    return {
        alias: names[math.ceil(quarter * depth / len(quarters)) - 1]
        for quarter, alias in enumerate(quarters, start=1)
    }


def _input_limits(model: nn.Module, *, column: bool) -> tuple[int, int | None]:
    """What a side must be a multiple of, and the only side in pixels that the model takes; None:
    any. `column`: whether all its maps have one grid.
    """
    configured: Any = model.pretrained_cfg
    if configured.get("fixed_input_size") and not _any_size(model):
        return 1, int(configured["input_size"][-1])
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", 1)
    if not column:
        return 1, None
    return int(patch[0] if isinstance(patch, tuple) else patch), None


def _any_size(model: nn.Module) -> bool:
    embedding = getattr(model, "patch_embed", None)
    parts = (model, embedding)
    return any(getattr(part, "dynamic_img_size", False) for part in parts) or not getattr(
        embedding, "strict_img_size", True
    )
