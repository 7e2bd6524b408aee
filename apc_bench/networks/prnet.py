"""PRNet's network (docs/method.md section 4): fusion of resolutions, multi-size self-attention and
a U-shaped decoder on frozen stages.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apc_bench.errors import UsageError
from apc_bench.networks.backbones import Backbone, module_name
from apc_bench.networks.prototypes import residual
from apc_bench.settings.detectors import PRNetSettings

CENTRES = "centres_"
"""How the prototypes' names begin in a state dict, before the stage's."""

SIZES = (1, 2, 4, 8)
"""Tokens along a side: patches of H, H/2, H/4 and H/8, one group of channels each."""


class Fusion(nn.Module):
    """Exchange between resolutions: every stage receives the sum of all stages, each brought to its
    width and size.

    What comes from other stages starts at zero and is learned from there: a short training is not
    spent on undoing random mixtures [ours].
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.ModuleList(_path(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map (n, channels, h, w) per stage, shallow first -> the same shapes."""
        fused = []
        for target, paths in zip(maps, self.paths, strict=True):
            assert isinstance(paths, nn.ModuleList)
            parts = [
                _resized(path(source), target) for path, source in zip(paths, maps, strict=True)
            ]
            fused.append(F.relu(torch.stack(parts).sum(dim=0)))
        return fused


class MultiSizeAttention(nn.Module):
    """Self-attention between patches of four sizes, one quarter of the channels each; depth-wise
    projections, residual connections.

    A token is a patch, flattened with its channels; a side that the number of tokens does not
    divide is padded with zeros.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels) for _ in range(3)
        )
        scale = nn.BatchNorm2d(channels)
        nn.init.zeros_(scale.weight)  # starts as nothing, as what comes from other stages does
        self.out = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), scale)
        self.after = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, h, w) -> the same shape."""
        groups = [
            torch.tensor_split(part(maps), len(SIZES), dim=1)
            for part in (self.queries, self.keys, self.values)
        ]
        attended = [
            attend(*group, tokens=tokens) for *group, tokens in zip(*groups, SIZES, strict=True)
        ]
        maps = maps + self.out(torch.cat(attended, dim=1))
        return torch.add(maps, self.after(maps))


def attend(queries: Tensor, keys: Tensor, values: Tensor, *, tokens: int) -> Tensor:
    """Scaled dot-product attention between the `tokens` × `tokens` patches of maps (n, c, h, w), at
    most one a pixel -> (n, c, h, w) (docs/method.md section 4).
    """
    count, channels, height, width = queries.shape
    rows, columns = min(tokens, height), min(tokens, width)
    tall, wide = -(-height // rows), -(-width // columns)
    padding = (0, columns * wide - width, 0, rows * tall - height)

    def patches(maps: Tensor) -> Tensor:
        parts = F.pad(maps, padding).reshape(count, channels, rows, tall, columns, wide)
        return parts.permute(0, 2, 4, 1, 3, 5).reshape(
            count, rows * columns, channels * tall * wide
        )

    tokens_out = F.scaled_dot_product_attention(patches(queries), patches(keys), patches(values))
    grid = tokens_out.reshape(count, rows, columns, channels, tall, wide).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(count, channels, rows * tall, columns * wide)[..., :height, :width]


class PRNet(nn.Module):
    """Stages of a frozen backbone -> the mask's logits at the input's size. The decoder starts at
    `deepest`, the backbone's last stage.

    Switches of the settings leave out residuals, attention and fusion; without all three it is a
    plain U-Net on frozen features.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        centres: Mapping[str, Tensor],
        settings: PRNetSettings,
        *,
        deepest: str,
    ) -> None:
        """`channels`: of the backbone's stages; `centres`: prototypes (k, c, h, w) by stage."""
        super().__init__()
        self.settings, self.deepest = settings, deepest
        own = [channels[layer] for layer in settings.layers]
        for layer in settings.layers:
            self.register_buffer(CENTRES + module_name(layer), centres[layer])
        self.fuse_features = Fusion(own) if settings.fusion else None
        self.fuse_residuals = Fusion(own) if settings.fusion and settings.residuals else None
        wide = [(1 + settings.residuals) * width for width in own]
        depth = settings.attention_layers if settings.attention else 0
        self.attention = nn.ModuleList(
            nn.Sequential(*(MultiSizeAttention(width) for _ in range(depth))) for width in wide
        )
        self.fuse_attended = Fusion(wide) if settings.fusion else None
        self.joins = nn.ModuleList()
        above = channels[deepest] if deepest not in settings.layers else 0
        for width, out in zip(reversed(wide), reversed(own), strict=True):
            self.joins.append(_block(above + width, out))
            above = out
        self.last = nn.Conv2d(above, 1, 3, padding=1)

    def forward(self, stages: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Stages (n, c, h, w) float32 by name -> logits (n, *size)."""
        maps = [stages[layer] for layer in self.settings.layers]
        features = self.fuse_features(maps) if self.fuse_features else maps
        if self.settings.residuals:
            differences = [
                residual(stages[layer], self.get_buffer(CENTRES + module_name(layer)))
                for layer in self.settings.layers
            ]
            if self.fuse_residuals:
                differences = self.fuse_residuals(differences)
            features = [torch.cat(pair, dim=1) for pair in zip(features, differences, strict=True)]
        attended = [block(maps) for block, maps in zip(self.attention, features, strict=True)]
        if self.fuse_attended:
            attended = self.fuse_attended(attended)
        decoded = stages[self.deepest] if self.deepest not in self.settings.layers else None
        for join, maps_here in zip(self.joins, reversed(attended), strict=True):
            if decoded is not None:
                maps_here = torch.cat([_resized(decoded, maps_here), maps_here], dim=1)
            decoded = join(maps_here)
        assert decoded is not None
        resized = F.interpolate(decoded, size=size, mode="bilinear", align_corners=False)
        logits: Tensor = self.last(resized)[:, 0]
        return logits


def require_resolutions(backbone: Backbone, layers: Sequence[str]) -> None:
    """Raises UsageError where the layers' grids do not shrink from one to the next: there is
    nothing to exchange between.
    """
    strides = [backbone.strides[layer] for layer in layers]
    if any(deeper <= shallower for shallower, deeper in pairwise(strides)):
        raise UsageError(
            f"PRNet exchanges between resolutions, and layers {', '.join(layers)} of backbone"
            f" '{backbone.name}' have one value every {', '.join(map(str, strides))} pixels: use"
            " layers of different grids, or a backbone that has them (a convolutional one)"
        )


def _path(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """From one stage to another: 1×1 up, strided 3×3 down, nothing but the map itself within a
    stage.
    """
    if source == target:
        return nn.Identity()
    layers: list[nn.Module] = []
    width = channels[source]
    for stage in range(source + 1, target + 1):
        out = channels[target] if stage == target else width
        layers += [nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out)]
        if stage < target:
            layers.append(nn.ReLU(inplace=True))
        width = out
    if source > target:
        layers = [
            nn.Conv2d(width, channels[target], 1, bias=False),
            nn.BatchNorm2d(channels[target]),
        ]
    last = layers[-1]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    return nn.Sequential(*layers)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)
