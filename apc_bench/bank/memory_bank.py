"""The memory bank: normal patch vectors, where each was seen, and the exact search for the nearest."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from apc_bench.bank.coreset import projection
from apc_bench.bank.precision import full_precision

PRODUCT_BYTES = {"cpu": 48 * 2**20, "cuda": 128 * 2**20}
"""Size of one matrix product of a search; with a few temporaries beside it, all that a search needs, however large the bank.

Large enough that the product reaches the machine's matrix rate; its memory is taken once for all products of a search.
"""

BANK_ROWS = 16384
"""Bank vectors of one product: most banks in one piece, so that few candidates beside the nearest are compared exactly."""

PAIRS = 4096
"""Pairs of vectors that are compared exactly at a time."""

SKETCH = 128
"""Dimensions of the random projection on which a near bank vector of a query is found quickly."""

FARTHEST = 64
"""Queries whose bound is replaced by their distance at a time, there."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Per query the nearest bank vectors, nearest first: squared L2 distance (q, k) float32, and index in the bank (q, k) int64."""

    distance: Tensor
    index: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Vectors (m, d) float32 and, for each, the training image (int32), the position in its patch grid (int16) and the group (int32)."""

    vectors: Tensor
    image: Tensor
    row: Tensor
    column: Tensor
    group: Tensor
    norms: Tensor = field(init=False, repr=False)
    """Squared lengths (m,) of the vectors."""
    sketch: Tensor = field(init=False, repr=False)
    """The vectors on a random projection (m, at most SKETCH): near ones stay near, roughly."""

    def __post_init__(self) -> None:
        wanted = {"image": torch.int32, "row": torch.int16, "column": torch.int16, "group": torch.int32}
        if self.vectors.ndim != 2 or not len(self.vectors) or self.vectors.dtype != torch.float32:
            raise ValueError(f"a memory bank needs vectors (m, d) in float32, got {tuple(self.vectors.shape)} in {self.vectors.dtype}")
        for name, dtype in wanted.items():
            value: Tensor = getattr(self, name)
            if value.shape != (len(self),) or value.dtype != dtype:
                raise ValueError(f"{name} must be {dtype} of shape ({len(self)},), got {value.dtype} of shape {tuple(value.shape)}")
        object.__setattr__(self, "norms", torch.linalg.vector_norm(self.vectors, dim=1).square())
        object.__setattr__(self, "sketch", projection(self.vectors, SKETCH, seed=0))

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(self, queries: Tensor, *, exclude_group: int | None = None, k: int = 1) -> Nearest:
        """The k nearest bank vectors of each query (q, d), on the bank's device; without those of `exclude_group`, if given.

        Exact: matrix products rank the bank approximately, all vectors within rounding of the k-th are compared again by
        the sum of squared differences in float64, and ties of these go to the lowest index. So a distance does not depend on threads,
        device or batch. Memory beside the result is bounded, however large the bank.

        Raises ValueError for queries of another width, and where fewer than k vectors are left.
        """
        allowed = torch.ones(len(self), dtype=torch.bool, device=self.vectors.device)
        if exclude_group is not None:
            allowed = (self.group != exclude_group).to(allowed.device)
        left = int(allowed.sum())
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"queries must be vectors of width {self.vectors.shape[1]}, got shape {tuple(queries.shape)}")
        if not 1 <= k <= left:
            raise ValueError(f"cannot find the {k} nearest of {left} bank vectors")
        with torch.no_grad(), full_precision(self.vectors.device):
            rounding = _rounding(queries, self.norms, self.vectors.shape[1])
            norms = self.norms.where(allowed, torch.inf)
            width = min(len(self), BANK_ROWS)
            rows = max(1, min(len(queries), PRODUCT_BYTES[self.vectors.device.type] // (4 * width)))
            product = torch.empty(rows * width, device=self.vectors.device)
            parts = (slice(start, start + rows) for start in range(0, max(len(queries), 1), rows))
            found = [_search(queries[part], self.vectors, norms, rounding[part], k, product) for part in parts]
        return Nearest(torch.cat([distance for distance, _ in found]).float(), torch.cat([index for _, index in found]))

    def farthest(self, queries: Tensor, *, exclude_group: int | None = None) -> tuple[int, Tensor, Tensor]:
        """Of queries (q, d), q > 0, the one that is farthest from its nearest bank vector: its position, squared distance and index in the bank.

        The same three as `nearest` and an argmax over its distances give, for a fraction of the products: the distance to any bank vector is an
        upper bound, a tight one to a vector that is near on the sketch, so queries are searched from the largest bound on until none that
        is left can be farther. Raises as `nearest` does.
        """
        bounds = self._bounds(queries, exclude_group)
        order = torch.argsort(bounds, descending=True, stable=True)
        place, distance, index = -1, bounds.new_tensor(-1.0), order.new_tensor(-1)
        for start in range(0, len(order), FARTHEST):
            part = order[start : start + FARTHEST]
            if bounds[part[0]] < distance:
                break
            found = self.nearest(queries[part], exclude_group=exclude_group)
            for position, squared, vector in zip(part.tolist(), found.distance[:, 0], found.index[:, 0], strict=True):
                if squared > distance or (squared == distance and position < place):
                    place, distance, index = position, squared, vector
        return place, distance, index

    def _bounds(self, queries: Tensor, exclude_group: int | None) -> Tensor:
        """Of each query the squared distance (q,) float32 to some allowed bank vector, likely a near one; infinite where none is allowed."""
        sketch = projection(queries, SKETCH, seed=0)
        lengths = torch.linalg.vector_norm(self.sketch, dim=1).square()
        if exclude_group is not None:
            lengths[self.group == exclude_group] = torch.inf
        best = torch.full((len(queries),), torch.inf, device=sketch.device)
        near = torch.zeros_like(best, dtype=torch.int64)
        for start in range(0, len(self), BANK_ROWS):
            part = slice(start, start + BANK_ROWS)
            smallest, column = torch.addmm(lengths[part], sketch, self.sketch[part].T, alpha=-2).min(1)
            near = torch.where(smallest < best, column + start, near)
            best = torch.minimum(smallest, best)
        exact = _squared_distances(queries.float(), torch.arange(len(queries), device=near.device), self.vectors, near).float()
        return exact.where(best.isfinite(), torch.inf)


def reweight(
    scores: Tensor, patches: Tensor, nearest: Tensor, bank: MemoryBank, *, neighbours: int = 9, exclude_group: int | None = None
) -> Tensor:
    """Image scores (n,) re-weighted by how usual the bank is around the nearest normal patch (PatchCore, equation 7).

    `patches` (n, d) are the images' worst patches, m_test; `nearest` (n,) int64 their nearest bank vectors, m*. As in anomalib:
    N_b(m*) are the `neighbours` bank vectors nearest to m*, itself among them, and with Euclidean distances
    weight = 1 - exp(|m_test - m*|) / sum over m in N_b(m*) of exp(|m_test - m|). With fewer than two neighbours, or a bank of
    one vector, there is nothing to weigh by and the scores come back as they are.
    """
    left = len(bank) if exclude_group is None else int((bank.group != exclude_group).sum())
    neighbours = min(neighbours, left)
    if neighbours < 2 or not len(scores):
        return scores
    support = bank.nearest(bank.vectors[nearest], exclude_group=exclude_group, k=neighbours).index
    to_support = torch.linalg.vector_norm(patches[:, None].double() - bank.vectors[support].double(), dim=2)
    to_nearest = torch.linalg.vector_norm(patches.double() - bank.vectors[nearest].double(), dim=1)
    weight = 1 - torch.exp(to_nearest - torch.logsumexp(to_support, dim=1))
    return weight.to(scores.dtype) * scores


def _rounding(queries: Tensor, norms: Tensor, width: int) -> Tensor:
    """Per query, how far apart two values of |b|² - 2q·b may come out in float32 though they are equal.

    Rounding errors of a sum of d products grow with sqrt(d) (Higham and Mary, 2019); the factor leaves room for any order of summation.
    """
    longest = norms.max().sqrt()
    lengths = torch.linalg.vector_norm(queries.float(), dim=1)
    margin: Tensor = 4 * width**0.5 * torch.finfo(torch.float32).eps * longest * (2 * lengths + longest)
    if not bool(margin.isfinite().all()):
        raise ValueError("queries or bank vectors hold values that are not finite")
    return margin


def _search(queries: Tensor, vectors: Tensor, norms: Tensor, rounding: Tensor, k: int, product: Tensor) -> tuple[Tensor, Tensor]:
    """The k nearest of each query: squared distances in float64 and indices, (q, k) each. `product`: room for one matrix product."""
    queries = queries.float()
    bound = torch.full_like(rounding, torch.finfo(torch.float32).max)
    distance = torch.full((len(queries), k), torch.inf, dtype=torch.float64, device=queries.device)
    index = torch.full((len(queries), k), -1, device=queries.device)
    for start in range(0, len(vectors), BANK_ROWS):
        part = slice(start, start + BANK_ROWS)
        # |b|² - 2q·b orders the bank as |q - b|² does.
        room = product[: len(queries) * len(norms[part])].view(len(queries), -1)
        approximate = torch.addmm(norms[part], queries, vectors[part].T, alpha=-2, out=room)
        if approximate.shape[1] >= k:
            kth = approximate.amin(1) if k == 1 else approximate.topk(k, largest=False).values[:, -1]
            bound = torch.minimum(bound, kth + rounding)
        query, column = torch.nonzero(approximate <= bound[:, None], as_tuple=True)
        squared = _squared_distances(queries, query, vectors, column + start)
        distance, index = _merged(distance, index, query, squared, column + start)
    return distance, index


def _squared_distances(queries: Tensor, query: Tensor, vectors: Tensor, vector: Tensor) -> Tensor:
    """Sums of squared differences of pairs (queries[query[i]], vectors[vector[i]]) in float64."""
    squared = torch.empty(len(query), dtype=torch.float64, device=query.device)
    for start in range(0, len(query), PAIRS):
        pair = slice(start, start + PAIRS)
        squared[pair] = (queries[query[pair]].double() - vectors[vector[pair]].double()).square().sum(1)
    return squared


def _merged(distance: Tensor, index: Tensor, query: Tensor, squared: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """The k nearest of what was found before, (q, k), and of new pairs; equal distances by index."""
    count, k = distance.shape
    rows = torch.arange(count, device=query.device)
    query = torch.cat([rows.repeat_interleave(k), query])
    squared = torch.cat([distance.flatten(), squared])
    vector = torch.cat([index.flatten(), vector])
    order = torch.argsort(vector, stable=True)
    order = order[torch.argsort(squared[order], stable=True)]
    order = order[torch.argsort(query[order], stable=True)]
    first = torch.searchsorted(query[order], rows)
    best = order[first[:, None] + torch.arange(k, device=query.device)]
    return squared[best], vector[best]
