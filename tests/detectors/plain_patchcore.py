"""PatchCore's features in the order of amazon-science/patchcore-inspection, written out plainly: the
independent oracle of the tests beside it.
"""

import torch
from torch.nn import functional as F


def plain_patches(stages: list[torch.Tensor], pretrain_dim: int, target_dim: int) -> torch.Tensor:
    """Stages (n, c, h, w), shallow first -> (n, patches, target_dim): unfold, bring to the first
    one's grid, pool each neighbourhood, stack, pool again.
    """
    parts = []
    rows, columns = stages[0].shape[-2:]
    for stage in stages:
        count, channels, height, width = stage.shape
        unfolded = F.unfold(stage, 3, padding=1).reshape(count, channels * 9, height, width)
        grown = F.interpolate(unfolded, size=(rows, columns), mode="bilinear", align_corners=False)
        flat = grown.permute(0, 2, 3, 1).reshape(-1, 1, channels * 9)
        parts.append(F.adaptive_avg_pool1d(flat, pretrain_dim)[:, 0])
    stacked = torch.stack(parts, dim=1).reshape(len(parts[0]), 1, -1)
    pooled = F.adaptive_avg_pool1d(stacked, target_dim)[:, 0]
    return pooled.reshape(len(stages[0]), rows * columns, -1)
