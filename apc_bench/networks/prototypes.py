"""PRNet's prototypes: typical maps of normal images, and how an image's maps differ from the most
similar one (docs/method.md section 4).
"""

import warnings

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor


def prototypes(maps: Tensor, share: float, *, seed: int) -> Tensor:
    """maps (n, c, h, w) float32 of n normal images -> (k, c, h, w) on the maps' device: centres of
    k-means over the flattened maps, k = max(1, round(share · n)).

    n points span n dimensions at most, so k-means runs on their coordinates there (the Gram
    matrix's eigenvectors): distances, and with them the clusters, are the maps' own, at a cost that
    does not grow with the maps. Clusters that come out empty are left out.
    """
    count = len(maps)
    wanted = max(1, round(share * count))
    flat = maps.flatten(1).double()
    flat = flat - flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(flat @ flat.T)
    points = (vectors * values.clamp(min=0).sqrt()).cpu().numpy()
    assigned = torch.zeros(count, dtype=torch.int64)
    if wanted > 1:
        generator = np.random.default_rng(seed)
        with warnings.catch_warnings(action="ignore"):  # of equal images, and so of empty clusters
            _, labels = kmeans2(points, wanted, iter=30, minit="++", seed=generator, missing="warn")
        assigned = torch.from_numpy(labels.astype(np.int64))
    centres = []
    for cluster in range(wanted):
        members = assigned == cluster
        if bool(members.any()):
            centres.append(maps[members].mean(dim=0))
    return torch.stack(centres)


def residual(maps: Tensor, centres: Tensor) -> Tensor:
    """maps (n, c, h, w), centres (k, c, h, w) of one device -> (n, c, h, w): the squared difference
    to the centre of smallest L2 distance, by element.
    """
    exactly = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(maps.flatten(1), centres.flatten(1), compute_mode=exactly)
    return (maps - centres[distances.argmin(dim=1)]).square()
