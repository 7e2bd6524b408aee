"""patchcore-inspection's algorithm written out plainly, operation by operation as that code does
it: what a careful reader would write first.

Features, approximate greedy coreset, flat search, and metrics as scikit-learn has them. Also the
best plain loop of the coreset.
"""

import numpy as np
import torch
from bench.inputs import LAYERS
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from apc_bench.networks.backbones import Backbone, normalise


@torch.no_grad()
def features(network: Backbone, images: NDArray[np.uint8], batch: int = 2) -> Tensor:
    """Images (n, 3, s, s) -> patch features (n, patches, 1024): every neighbourhood unfolded,
    interpolated, pooled twice. Batches of 2, its default.
    """
    parts = []
    for start in range(0, len(images), batch):
        stages = network(normalise(torch.from_numpy(images[start : start + batch])), last="layer3")
        parts.append(_embed([stages[layer] for layer in LAYERS]))
    return torch.cat(parts)


def _embed(maps: list[Tensor]) -> Tensor:
    count, (height, width) = len(maps[0]), maps[0].shape[2:]
    pooled = []
    for one in maps:
        rows, columns = one.shape[2:]
        unfolded = F.unfold(one, 3, padding=1).reshape(count, one.shape[1], 9, rows, columns)
        if (rows, columns) != (height, width):
            flat = unfolded.reshape(-1, 1, rows, columns)
            flat = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
            unfolded = flat.reshape(count, one.shape[1], 9, height, width)
        vectors = unfolded.permute(0, 3, 4, 1, 2).reshape(count * height * width, 1, -1)
        pooled.append(F.adaptive_avg_pool1d(vectors, 1024).squeeze(1))
    stacked = torch.stack(pooled, dim=1).reshape(count * height * width, 1, -1)
    return F.adaptive_avg_pool1d(stacked, 1024).reshape(count, height * width, 1024)


@torch.no_grad()
def approximate_greedy(points: Tensor, count: int, starts: Tensor) -> Tensor:
    """Its loop: distances to the pick by three products, joined to the distances so far, and the
    smaller of the two columns kept.
    """
    nearest = _distances(points, points[starts]).mean(1, keepdim=True)
    picks = []
    for _ in range(count):
        pick = int(nearest.argmax())
        picks.append(pick)
        nearest = (
            torch.cat([nearest, _distances(points, points[pick : pick + 1])], dim=1)
            .min(1, keepdim=True)
            .values
        )
    return torch.tensor(picks)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    squares = a.unsqueeze(1).bmm(a.unsqueeze(2)).reshape(-1, 1)
    others = b.unsqueeze(1).bmm(b.unsqueeze(2)).reshape(1, -1)
    return (-2 * a.mm(b.T) + squares + others).clamp(0, None).sqrt()


@torch.no_grad()
def best_plain(points: Tensor, count: int, starts: Tensor) -> Tensor:
    """The same loop as fast as it goes pick by pick: one matrix-vector product into reused buffers,
    squared distances.
    """
    norms = points.square().sum(1)
    nearest = (
        torch.stack([(points - points[start]).square().sum(1).sqrt() for start in starts], 1)
        .mean(1)
        .square()
    )
    product = torch.empty_like(nearest)
    picks = torch.empty(count, dtype=torch.int64)
    for number in range(count):
        pick = int(nearest.argmax())
        picks[number] = pick
        torch.mv(points, points[pick], out=product)
        torch.minimum(nearest, product.mul_(-2).add_(norms).add_(norms[pick]), out=nearest)
        nearest[pick] = -1
    return picks


def pixel_metrics(scores: NDArray[np.float32], masks: NDArray[np.bool_]) -> dict[str, float]:
    """AUROC, F1-max and AP by scikit-learn's three functions over all pixels."""
    labels, values = masks.ravel(), scores.ravel()
    precision, recall, _ = precision_recall_curve(labels, values)
    return {
        "pixel_auroc": float(roc_auc_score(labels, values)),
        "pixel_f1_max": float(
            (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
        ),
        "pixel_ap": float(average_precision_score(labels, values)),
    }


def au_pro(scores: NDArray[np.float32], masks: NDArray[np.bool_], limit: float = 0.3) -> float:
    """AU-PRO as MVTec's evaluation has it: all pixels sorted once, false positives and region
    overlaps summed along them.
    """
    normal, weight, regions = ~masks, np.zeros(scores.shape), 0
    for mask, weights in zip(masks, weight, strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += count
        for label in range(1, count + 1):
            weights[labels == label] = 1 / (labels == label).sum()
    order = np.argsort(scores.ravel(), kind="stable")[::-1]
    ordered = scores.ravel()[order]
    rate = np.cumsum(normal.ravel()[order]) / normal.sum()
    overlap = np.cumsum(weight.ravel()[order]) / regions
    last = np.append(ordered[1:] != ordered[:-1], True)
    rate, overlap = np.append(0, rate[last]), np.append(0, overlap[last])
    inside = rate <= limit
    x = np.append(rate[inside], limit)
    y = np.append(overlap[inside], np.interp(limit, rate, overlap))
    return float(np.trapezoid(y, x) / limit)
