"""The memory bank: normal patch vectors, where each was seen, and the search for the nearest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from apc_bench.bank.precision import full_precision
from apc_bench.bank.search import Index
from apc_bench.metrics.search_recall import SearchRecall
from apc_bench.settings.search import FaissSearch

if TYPE_CHECKING:
    from apc_bench.bank.approximate import ApproximateIndex

ORIGIN = {"image": torch.int32, "row": torch.int16, "column": torch.int16, "group": torch.int32}
"""Where a vector of the bank was seen."""

OUTLINE = 8
"""One in so many of the bank's vectors, the first, bounds distances to it (`MemoryBank.farthest`):
then 9 % to 23 % of an image's patches are searched for in all of it, on MVTec's pill and screw with
ResNet-18 and ResNet-50.
"""

FIRST = 64
"""Queries that are searched for at first, for a lower bound: fewer hardly take less time."""

NEARLY = 1 - 1e-6
"""Below this share of the largest squared distance, the root is smaller in float32 too."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Per query the nearest bank vectors, nearest first: squared L2 distance (q, k) float32, and
    index in the bank (q, k) int64, on the bank's device.
    """

    distance: Tensor
    index: Tensor


class Searched(Protocol):
    """What patches are compared with: a memory bank, or one without a group."""

    def __len__(self) -> int: ...

    def at(self, indices: Tensor) -> Tensor:
        """The vectors (…, d) at these positions (…) int64."""

    def places(self, vectors: Tensor) -> Tensor:
        """Where vectors (n,) int64 were seen: (n, 3) int64 image, row and column, on the CPU."""

    def nearest(self, queries: Tensor, *, k: int = 1) -> Nearest:
        """The k nearest vectors of each query (q, d)."""

    def farthest(self, queries: Tensor) -> tuple[Tensor, Nearest]:
        """Those of the queries that can be farthest from their nearest vector."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Vectors (m, d) float32 and, for each, the training image (m,) int32, the position in its
    patch grid, row and column (m,) int16, and the group (m,) int32. `search`: of the approximate
    kind; None for the exact one.

    Raises ValueError for other shapes or types, no vector, and values that are not finite;
    UsageError where the vectors are too few for the search.
    """

    vectors: Tensor
    image: Tensor
    row: Tensor
    column: Tensor
    group: Tensor
    search: FaissSearch | None = None
    index: Index | ApproximateIndex = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.vectors) or self.vectors.dtype != torch.float32:
            raise ValueError(
                f"a memory bank needs vectors (m, d) in float32, got {tuple(self.vectors.shape)} in"
                f" {self.vectors.dtype}"
            )
        for name, dtype in ORIGIN.items():
            value: Tensor = getattr(self, name)
            if value.shape != (len(self),) or value.dtype != dtype:
                raise ValueError(
                    f"{name} must be {dtype} of shape ({len(self)},), got {value.dtype} of shape"
                    f" {tuple(value.shape)}"
                )
        index: Index | ApproximateIndex = (
            Index(self.vectors) if self.search is None else _approximate(self.vectors, self.search)
        )
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def recall(self) -> SearchRecall | None:
        """How often an approximate search found the nearest vector so far; None of an exact one."""
        return None if isinstance(self.index, Index) else self.index.recall

    def at(self, indices: Tensor) -> Tensor:
        """The vectors (…, d) at these positions (…) int64."""
        return self.vectors[indices]

    def places(self, vectors: Tensor) -> Tensor:
        """Where vectors (n,) int64 were seen: (n, 3) int64 image, row and column, on the CPU."""
        vectors = vectors.cpu()
        seen = [self.image[vectors], self.row[vectors], self.column[vectors]]
        return torch.stack([part.long().cpu() for part in seen], dim=1)

    def nearest(self, queries: Tensor, *, exclude_group: int | None = None, k: int = 1) -> Nearest:
        """The k nearest bank vectors of each query (q, d) float, on the bank's device; without
        those of `exclude_group`, if given.

        Exact (bank/search.py): all vectors that can be among the nearest are compared by the sum of
        squared differences in float64, and ties go to the lowest index. So a distance does not
        depend on threads, device or batch. Memory beside the result is bounded, however large the
        bank. With `search` some vectors are missed (bank/approximate.py).

        Raises ValueError for queries of another width, for values that are not finite, and where
        fewer than k vectors are left.
        """
        left_out = self._left_out(queries, exclude_group, k)
        with torch.no_grad(), full_precision(self.vectors.device):
            distance, index = self.index.nearest(queries, left_out, k)
        return Nearest(distance.float(), index)

    def farthest(
        self, queries: Tensor, *, exclude_group: int | None = None, at_most: Tensor | None = None
    ) -> tuple[Tensor, Nearest]:
        """Of queries (q, d) those that can be farthest from their nearest bank vector, among them
        all that are: their positions (n,) int64, ascending, and what `nearest` finds for them.
        `at_most` (q,): squared distances to vectors elsewhere, where the nearest may be.

        Most queries are near one of the bank's first vectors already, and so need not be searched
        for in all of it: a coreset's first picks lie all over what it covers, each the farthest
        from those before it. Raises ValueError as `nearest`, and for no queries.
        """
        if not len(queries):
            raise ValueError("no queries: none can be the farthest")
        with torch.no_grad(), full_precision(self.vectors.device):
            among = -(-len(self) // OUTLINE)
            left_out = self._left_out(queries, exclude_group, 1)
            bound = self.index.near(queries, left_out, among).square()
        if at_most is not None:
            bound = torch.minimum(bound, at_most.to(bound))
        first = bound.topk(min(FIRST, len(bound))).indices
        found = self.nearest(queries[first], exclude_group=exclude_group)
        least = torch.minimum(found.distance[:, 0], bound[first].to(found.distance)).max()
        bound[first] = -1
        rest = torch.nonzero(bound >= least * NEARLY)[:, 0]
        others = self.nearest(queries[rest], exclude_group=exclude_group)
        positions, order = torch.cat([first, rest]).sort()
        distance = torch.cat([found.distance, others.distance])[order]
        return positions, Nearest(distance, torch.cat([found.index, others.index])[order])

    def _left_out(self, queries: Tensor, group: int | None, k: int) -> Tensor:
        """Which vectors are of that group, (m,) bool on their device. Raises ValueError where the k
        nearest of the others cannot be found for such queries.
        """
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"queries must be vectors of width {self.vectors.shape[1]}, got shape"
                f" {tuple(queries.shape)}"
            )
        left_out = torch.zeros(len(self), dtype=torch.bool, device=self.vectors.device)
        if group is not None:
            left_out = (self.group == group).to(left_out.device)
        left = len(self) - int(left_out.sum())
        if not 1 <= k <= left:
            raise ValueError(f"cannot find the {k} nearest of {left} bank vectors")
        return left_out


def _approximate(vectors: Tensor, search: FaissSearch) -> ApproximateIndex:
    from apc_bench.bank.approximate import ApproximateIndex  # faiss is loaded where it is used

    return ApproximateIndex(vectors, search)


def reweight(
    scores: Tensor,
    patches: Tensor,
    nearest: Tensor,
    bank: Searched,
    *,
    neighbours: int = 9,
) -> Tensor:
    """Image scores (n,) float32 -> the same, re-weighted by how usual the bank is around the
    nearest normal patch (Roth et al., CVPR 2022, equation 7).

    `patches` (n, d) are the images' worst patches, m_test; `nearest` (n,) int64 their nearest bank
    vectors, m*. As in anomalib: N_b(m*) are the `neighbours` bank vectors nearest to m*, itself
    among them, and with Euclidean distances weight = 1 - exp(|m_test - m*|) / sum over m in N_b(m*)
    of exp(|m_test - m|). With fewer than two neighbours, or a bank of one vector, there is nothing
    to weigh by and the scores come back as they are.
    """
    neighbours = min(neighbours, len(bank))
    if neighbours < 2 or not len(scores):
        return scores
    support = bank.nearest(bank.at(nearest), k=neighbours).index
    exact = patches.double()
    from_support = exact[:, None] - bank.at(support).double()
    to_support = torch.linalg.vector_norm(from_support, dim=2)
    to_nearest = torch.linalg.vector_norm(exact - bank.at(nearest).double(), dim=1)
    weight = 1 - torch.exp(to_nearest - torch.logsumexp(to_support, dim=1))
    return weight.to(scores.dtype) * scores
