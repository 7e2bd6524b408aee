"""The patches that APC+'s classifier learns from (docs/method.md section 5): of normal images, and
of the drawn ones with their masks, each also in changed views.
"""

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.protocol import Images, Training
from apc_bench.detectors.views import changed_views
from apc_bench.settings.detectors import ApcPlusSettings

STAGE = "patches to learn from"

NORMAL_PATCHES = 100_000
"""At most about so many, at random, of the normal images as they are."""


def patch_examples(
    data: Training, source: FeatureSource, settings: ApcPlusSettings
) -> tuple[Tensor, Tensor]:
    """Features (m, d) of normal patches, with the clean ones of the drawn images, and (k, d) of
    anomalous ones: from `classifier_share` of their area on; the fullest one where none is as full.
    Half-empty patches teach it the normal.
    """
    generator = Generator().manual_seed(data.seed)
    known = np.flatnonzero(data.masked)
    drawn, masks = data.anomalous.at(known), torch.from_numpy(data.masks[known])
    normal = _some_patches(source, data.learnable, generator)
    patches, shares = [], []
    for part, features in source.over(drawn, STAGE):
        patches.append(features.flatten(0, 1))
        shares.append(_shares(masks[part].float(), source))
    for _ in range(settings.classifier_views):
        views, moved = changed_views(drawn, masks, settings, generator)
        patches.append(_features(source, views))
        shares.append(_shares(moved, source))
    count = min(settings.classifier_normal_views, len(data.learnable))
    if count:
        chosen = torch.randperm(len(data.learnable), generator=generator)[:count].numpy()
        plain = torch.zeros(count, *masks.shape[1:], dtype=torch.bool)
        views, _ = changed_views(data.learnable.at(chosen), plain, settings, generator)
        normal.append(_features(source, views))
    joined = torch.cat(patches)
    share = torch.cat(shares).to(joined.device)
    normal.append(joined[share == 0])
    least = min(settings.classifier_share, float(share.max()))
    return torch.cat(normal), joined[share >= least]


def _features(source: FeatureSource, images: Images) -> Tensor:
    """(patches, d) of all images."""
    return torch.cat([features.flatten(0, 1) for _, features in source.over(images, STAGE)])


def _shares(masks: Tensor, source: FeatureSource) -> Tensor:
    """masks (n, s, s) float -> the anomalous share (patches,) of each patch's area."""
    return F.adaptive_avg_pool2d(masks[:, None], source.grid).flatten()


def _some_patches(source: FeatureSource, images: Images, generator: Generator) -> list[Tensor]:
    """Features of patches at random, batch by batch, at most about NORMAL_PATCHES of them."""
    chosen = []
    for part, features in source.over(images, STAGE):
        patches = features.flatten(0, 1)
        share = NORMAL_PATCHES * (part.stop - part.start) // len(images)
        count = max(1, min(len(patches), share))
        rows = torch.randperm(len(patches), generator=generator)[:count]
        chosen.append(patches[rows.to(patches.device)])
    return chosen
