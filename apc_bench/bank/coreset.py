"""Greedy k-centre selection: which patch vectors the memory bank keeps.

PatchCore's (Roth et al., CVPR 2022, algorithm 1), approximated as in patchcore-inspection
(docs/method.md section 2).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from apc_bench.bank.precision import full_precision

TILE = {"cpu": (512, 2048), "cuda": (8192, 8192)}
"""Rows and picks of one matrix product. On a CPU 4 MiB in float32, so that its result is reduced
while it is in the cache; a GPU wants it large.
"""

CANDIDATES_PER_BLOCK = 16
"""How many times `block` points are brought up to date at once: fewer cost more rounds, more cost
needless products.
"""

CANCELLATION = {torch.float32: 2.0**-4, torch.float64: 2.0**-20}
"""A squared distance below this share of the squared norm has lost digits in |x|² + |c|² - 2x·c and
is computed more exactly.
"""


def greedy_coreset(
    features: Tensor,
    count: int,
    *,
    projection_dim: int | None = 128,
    starting_points: int = 10,
    seed: int,
    block: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Vectors (n, d) of any float type and device -> int64 indices (min(count, n),) on the CPU, in
    the order of selection, each at most once.

    On a random projection to `projection_dim` dimensions (skipped where the vectors have no more
    than that), every point starts with its mean Euclidean distance to `starting_points` random
    points; then the farthest point is picked again and again, and every point keeps its distance to
    the nearest pick where that is smaller. Ties go to the lowest index. The order is this plain
    loop's, found faster (`_Selection`); `block` changes the speed alone. `progress(picked, total)`
    is called after each block.

    Precision: the points are centred; products run in the features' own precision (half precision
    in float32) and are done again, more exactly, where cancellation would show (`_to_nearest`);
    distances within a block are float64. For float64 features the order is the exact one, for
    float32 near-ties may swap. Memory beyond the projection is bounded.

    Raises ValueError for no features, a `count`, `starting_points` or `block` below 1, and
    non-finite features.
    """
    if features.ndim != 2 or not len(features) or min(count, starting_points, block) < 1:
        raise ValueError(
            "a coreset needs vectors (n, d) and at least one pick, starting point and row per"
            f" block, got features {tuple(features.shape)}, count {count}, starting_points"
            f" {starting_points}, block {block}"
        )
    with torch.no_grad(), full_precision(features.device):
        points = compared(features, projection_dim, seed=seed)
        starts = start_indices(len(points), starting_points, seed=seed)
        selection = _Selection(points, _first_bounds(points, starts), min(count, len(points)))
        while selection.picked < selection.total:
            selection.extend(block)
            if progress is not None:
                progress(selection.picked, selection.total)
    return selection.indices.cpu()


def compared(features: Tensor, projection_dim: int | None, *, seed: int) -> Tensor:
    """Vectors (n, d) -> the points (n, p) that `greedy_coreset` compares: projected and centred."""
    with torch.no_grad(), full_precision(features.device):
        if projection_dim is not None:
            features = projection(features, projection_dim, seed=seed)
        return _centred(features)


def projection(features: Tensor, dim: int, *, seed: int) -> Tensor:
    """Vectors (n, d) times a Gaussian matrix (d, dim) / sqrt(dim) -> (n, dim) on their device, half
    precision in float32; the vectors as they are where d <= dim.

    The matrix is drawn on the CPU from `seed`, so it is the same on every device.
    """
    width = features.shape[1]
    if width <= dim:
        return features
    dtype = _working(features.dtype)
    matrix = torch.randn(width, dim, generator=Generator().manual_seed(seed)) / dim**0.5
    matrix = matrix.to(features.device, dtype)
    projected = torch.empty(len(features), dim, dtype=dtype, device=features.device)
    for rows in _chunks(len(features)):
        torch.mm(features[rows].to(dtype), matrix, out=projected[rows])
    return projected


def start_indices(total: int, count: int, *, seed: int) -> Tensor:
    """`count` distinct random indices below `total` (all, if there are fewer), int64 on the CPU,
    from `seed` alone.
    """
    return torch.randperm(total, generator=Generator().manual_seed(seed))[:count]


class _Selection:
    """The picks so far, and of each point an upper bound of its squared distance to them; a picked
    point has -1.

    Distances to the picks only fall, so a stale one is an upper bound: of the points with the
    largest bounds only are the distances brought up to date, with one matrix product for many
    picks, and among the `block` farthest of these the loop goes on with their exact pairwise
    distances for as long as no other point can be farther.
    """

    def __init__(self, points: Tensor, bounds: Tensor, total: int) -> None:
        self.points, self.bounds, self.total = points, bounds, total
        self.indices = torch.empty(total, dtype=torch.int64, device=points.device)
        self.centres = points.new_empty(total, points.shape[1])
        self.accounted = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        self.picked = 0

    def extend(self, block: int) -> None:
        """Bring the farthest points up to date and pick among them; now and then only the former,
        where all came closer.
        """
        floor = self._floor(CANDIDATES_PER_BLOCK * block)
        candidates = torch.nonzero(self.bounds >= floor)[:, 0]
        self._bring_up_to_date(candidates)
        values, order = torch.sort(self.bounds[candidates], descending=True, stable=True)
        if floor == 0 and values[0] == 0:
            self._pick(candidates)
            return
        chosen, _ = torch.sort(candidates[order[:block]])
        rival = (-1.0, -1)
        if len(order) > block:
            rival = float(values[block]), int(candidates[order[block]])
        picks = _walk(self.bounds[chosen], chosen, _pairwise(self.points[chosen]), floor, rival)
        self._pick(chosen[picks])

    def _floor(self, candidates: int) -> float:
        """The smallest of the `candidates` largest bounds."""
        largest = torch.topk(self.bounds, min(candidates, len(self.bounds)), sorted=False).values
        return max(float(largest.min()), 0.0)

    def _pick(self, indices: Tensor) -> None:
        """Take the points, in this order, as many as are still wanted."""
        indices = indices[: self.total - self.picked]
        place = slice(self.picked, self.picked + len(indices))
        self.indices[place] = indices
        self.centres[place] = self.points[indices]
        self.bounds[indices] = -1
        self.picked += len(indices)

    def _bring_up_to_date(self, candidates: Tensor) -> None:
        """Make the candidates' bounds their distances to all picks. Sorted by the picks they have
        seen, so that rows share a product.
        """
        seen, order = torch.sort(self.accounted[candidates], stable=True)
        rows = candidates[order]
        height, width = TILE[rows.device.type]
        for at, first in zip(range(0, len(rows), height), seen[::height].tolist(), strict=True):
            chunk = rows[at : at + height]
            nearest, points = self.bounds[chunk], self.points[chunk]
            for start in range(first, self.picked, width):
                centres = self.centres[start : min(start + width, self.picked)]
                nearest = torch.minimum(nearest, _to_nearest(points, centres))
            self.bounds[chunk] = nearest
        self.accounted[candidates] = self.picked


def _walk(
    bounds: Tensor, indices: Tensor, pairwise: Tensor, floor: float, rival: tuple[float, int]
) -> list[int]:
    """Greedy picks among a block (positions), until a point outside could be the next.

    Outside are points below `floor`, and points no larger than the `rival`'s value, of which that
    one has the lowest index. `indices` ascend, so that the first maximum is the one with the lowest
    index.
    """
    values, distances = bounds.double().cpu().numpy(), pairwise.cpu().numpy()
    index = indices.tolist()
    picks: list[int] = []
    while len(picks) < len(index):
        best = int(values.argmax())
        value = float(values[best])
        if value < max(floor, rival[0]) or (value == rival[0] and index[best] > rival[1]):
            break
        picks.append(best)
        np.minimum(values, distances[best], out=values)
        values[best] = -1
    return picks


def _to_nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Squared distance of each point to its nearest centre, sound where it is small beside the
    norms.
    """
    norms = points.square().sum(1)
    squared = torch.addmm(centres.square().sum(1), points, centres.T, alpha=-2).amin(1).add_(norms)
    weak = squared < CANCELLATION[points.dtype] * norms
    if bool(weak.any()):
        squared[weak] = _more_exactly(points[weak], centres).to(squared.dtype)
    return squared


def _more_exactly(points: Tensor, centres: Tensor) -> Tensor:
    """As `_to_nearest` in float64; by differences where that is not enough."""
    if points.dtype != torch.float64:
        return _to_nearest(points.double(), centres.double())
    return _exact_distances(points, centres).amin(1).square()


def _exact_distances(points: Tensor, others: Tensor) -> Tensor:
    """Euclidean distances (n, m) from differences, not from products."""
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def _pairwise(points: Tensor) -> Tensor:
    """All squared distances (b, b) within a block, in float64."""
    points = points.double()
    norms = points.square().sum(1)
    squared = torch.addmm(norms, points, points.T, alpha=-2).add_(norms[:, None])
    weak = (squared < CANCELLATION[torch.float64] * norms[:, None]).fill_diagonal_(False)
    if bool(weak.any()):
        squared = torch.where(weak, _exact_distances(points, points).square(), squared)
    return squared


def _centred(points: Tensor) -> Tensor:
    """The points minus the coordinate-wise median of at most 1024 of them: near the mean, and exact
    for values on a grid.
    """
    sample = points[:: -(-len(points) // 1024)].to(_working(points.dtype))
    # median() is refused where a GPU is to be deterministic.
    middle = sample.sort(0).values[(len(sample) - 1) // 2]
    return points.to(sample.dtype) - middle


def _first_bounds(points: Tensor, starts: Tensor) -> Tensor:
    """The squared mean distance (n,) of each point to the starting points; 0 for a repeated one."""
    bounds = _mean_distance(points, starts).square()
    if not bool(bounds.isfinite().all()):
        raise ValueError("features hold values that are not finite")
    bounds[_repeated(points)] = 0
    return bounds


def _repeated(points: Tensor) -> Tensor:
    """Indices of points that equal one of a lower index: never picked before it, and at distance 0
    after.

    Products of equal rows may differ in the last bit, so a tie of equal points must not be left to
    them.
    """
    generator = Generator().manual_seed(0)
    weights = torch.rand(points.shape[1], generator=generator, dtype=torch.float64)
    weights = weights.to(points.device)
    sums = [(points[rows] * weights).sum(1) for rows in _chunks(len(points))]
    ascending, order = torch.sort(torch.cat(sums), stable=True)
    neighbours = torch.nonzero(ascending[1:] == ascending[:-1])[:, 0]
    later, earlier = order[neighbours + 1], order[neighbours]
    equal = torch.empty(len(later), dtype=torch.bool, device=points.device)
    for pairs in _chunks(len(later)):
        equal[pairs] = (points[later[pairs]] == points[earlier[pairs]]).all(1)
    return later[equal]


def _mean_distance(points: Tensor, starts: Tensor) -> Tensor:
    """The mean Euclidean distance (n,) of each point to the points at `starts`."""
    total = points.new_zeros(len(points))
    for rows in _chunks(len(points)):
        for origin in points[starts.to(points.device)]:
            total[rows] += (points[rows] - origin).square().sum(1).sqrt()
    return total / len(starts)


def _chunks(rows: int) -> Iterator[slice]:
    """Slices of at most 16,384 rows, so that temporaries stay small."""
    return (slice(start, start + 16384) for start in range(0, rows, 16384))


def _working(dtype: torch.dtype) -> torch.dtype:
    """The precision that vectors of a type are computed in: float32 for half precision."""
    return dtype if dtype in CANCELLATION else torch.float32
