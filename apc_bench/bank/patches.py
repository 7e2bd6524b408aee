"""Patch features: the neighbourhoods of several feature maps, pooled to one vector per position of
the first map.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from apc_bench.bank.precision import full_precision


def patch_features(
    maps: Sequence[Tensor], *, neighbourhood: int, pretrain_dim: int, target_dim: int
) -> Tensor:
    """Feature maps (n, c_i, h_i, w_i) of one device, finest grid first -> patch vectors (n,
    h_0·w_0, target_dim) float32 there, positions row by row.

    docs/method.md section 2, after patchcore-inspection: each map's k×k neighbourhoods (zero
    padding) are flattened to c_i·k·k values, brought to the first map's grid by bilinear
    interpolation (align_corners=False) and adaptive-average-pooled to `pretrain_dim`; the maps'
    vectors are stacked and pooled again to `target_dim`. The steps are linear and the interpolation
    acts on each channel alone, so here neighbourhood and pooling are one grouped convolution on
    each map's own grid, and the interpolation comes last: the same numbers to float32 rounding,
    without the k·k-fold tensor.

    Raises ValueError for no map, an even neighbourhood, or maps of different batch sizes.
    """
    _check(maps, neighbourhood)
    images, _, height, width = maps[0].shape
    merge = _merge(len(maps), pretrain_dim, target_dim)
    columns = pretrain_dim // merge
    features = maps[0].new_empty((images, height, width, len(maps) * columns), dtype=torch.float32)
    for i, fmap in enumerate(maps):
        pooled = _pooled(fmap, neighbourhood, pretrain_dim, merge, (height, width))
        features[..., i * columns : (i + 1) * columns] = pooled
    vectors = features.flatten(1, 2)
    if vectors.shape[2] == target_dim:
        return vectors
    return F.adaptive_avg_pool1d(vectors, target_dim)


def _check(maps: Sequence[Tensor], neighbourhood: int) -> None:
    if not maps:
        raise ValueError("patch_features needs at least one feature map")
    if neighbourhood < 1 or neighbourhood % 2 == 0:
        raise ValueError(f"neighbourhood must be odd and positive, got {neighbourhood}")
    # Not by len, which torch.export takes for a constant.
    if any(fmap.shape[0] != maps[0].shape[0] for fmap in maps):
        raise ValueError(f"feature maps of different batch sizes: {[len(fmap) for fmap in maps]}")


def _merge(maps: int, pretrain_dim: int, target_dim: int) -> int:
    """How many neighbouring channels of one map the second pooling averages, where its bins keep to
    one map; 1 where they do not.
    """
    ratio, rest = divmod(maps * pretrain_dim, target_dim)
    return ratio if rest == 0 and pretrain_dim % ratio == 0 else 1


def _pooled(
    fmap: Tensor, neighbourhood: int, pretrain_dim: int, merge: int, grid: tuple[int, int]
) -> Tensor:
    """A map (n, c, h, w) -> its share of the vectors, (n, *grid, pretrain_dim / merge)."""
    weight, groups = _kernel(fmap.shape[1], neighbourhood, pretrain_dim, merge)
    with full_precision(fmap.device):
        values = fmap.float().contiguous(memory_format=torch.channels_last)
        pooled = F.conv2d(values, weight.to(fmap.device), padding=neighbourhood // 2, groups=groups)
        if pooled.shape[2:] != grid:
            pooled = F.interpolate(pooled, size=grid, mode="bilinear", align_corners=False)
    return pooled.permute(0, 2, 3, 1)


@lru_cache(maxsize=16)
def _kernel(channels: int, neighbourhood: int, pretrain_dim: int, merge: int) -> tuple[Tensor, int]:
    """Both poolings of one map as a grouped convolution: weight (pretrain_dim / merge, channels /
    groups, k, k), and the groups.

    Bin edges meet channel edges at every multiple of the greatest common divisor, so no output
    reads outside its group.
    """
    outputs = pretrain_dim // merge
    groups = math.gcd(channels, outputs)
    rows, width = outputs // groups, channels // groups
    flattened, block = channels * neighbourhood**2, width * neighbourhood**2
    weight = torch.zeros(outputs, block, dtype=torch.float64)
    for fine in range(pretrain_dim):
        row = fine // merge
        first = row // rows * block
        start, stop = _bin(fine, flattened, pretrain_dim)
        weight[row, start - first : stop - first] += 1 / (stop - start) / merge
    return weight.view(outputs, width, neighbourhood, neighbourhood).float(), groups


def _bin(index: int, inputs: int, outputs: int) -> tuple[int, int]:
    """The inputs [start, stop) that adaptive average pooling averages into output `index`."""
    return index * inputs // outputs, -(-(index + 1) * inputs // outputs)
