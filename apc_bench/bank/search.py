"""The exact search for nearest vectors: a ranking with a bounded error says which can be nearest,
and these are compared in float64.

The ranking is a matrix product, in int8 where the processor multiplies integers several times as
fast (a quarter of the bytes, the same numbers), in float32 elsewhere.
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

PRODUCT_BYTES = {"cpu": 48 * 2**20, "cuda": 512 * 2**20}
"""Size of one matrix product of a search; with a few temporaries beside it, all that a search
needs, however large the bank.

Large enough that the product reaches the machine's matrix rate; its memory is taken once for all
products of a search.
"""

BANK_ROWS = 16384
"""Bank vectors of one product: most banks in one piece, so that few candidates beside the nearest
are compared exactly.
"""

PAIRS = {"cpu": 256, "cuda": 16384}
"""Pairs of vectors that are compared exactly at a time, in room taken once: on a CPU it stays in
the cache.
"""

CANDIDATES = 64
"""Candidates of a query, on average, beyond which int8 was too coarse for its block and float32
ranks it again.
"""


class Ranker(Protocol):
    """Values that order bank vectors nearly as their distances do, in 32 bits. `beyond`: a value
    that only vectors that are left out exceed.
    """

    beyond: float

    def prepare(self, queries: Tensor) -> "QueryBlock":
        """Queries (q, d) float32 made ready."""

    def rank(self, block: "QueryBlock", part: slice, left_out: Tensor, room: Tensor) -> Tensor:
        """Values (q, p) of the bank's p vectors of `part`, of which `left_out` (p,) bool rank last;
        written into `room` (q, p) float32, or its bits.
        """

    def limit(self, block: "QueryBlock", distance: Tensor) -> Tensor:
        """The largest value (q,) that a vector within `distance` (q,) float64 of its query can
        have.
        """


@dataclass(frozen=True, slots=True, eq=False)
class QueryBlock:
    """Queries as a ranker multiplies them (q, d), their squared lengths (q,) and how far off the
    ranking may be (q,), both float64.
    """

    factors: Tensor
    squares: Tensor
    slack: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What is looked for: the k nearest of queries (q, d) float32 among the vectors that are not
    `left_out` (m,) bool; and room (q · part,) float32 for the products.
    """

    queries: Tensor
    left_out: Tensor
    k: int
    room: Tensor


class Index:
    """Vectors (m, d) float32 made ready for many searches. Raises ValueError for values that are
    not finite.
    """

    def __init__(self, vectors: Tensor) -> None:
        _check_finite(vectors)
        self.vectors = vectors
        exact = FloatRanker(vectors)
        self.rankers: tuple[Ranker, ...] = (exact,)
        if _fast_integers(vectors.device):
            self.rankers = (IntegerRanker(vectors), exact)

    def nearest(self, queries: Tensor, left_out: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the vectors that are not `left_out` (m,) bool, of each query (q, d), all
        on the index's device: squared L2 distances (q, k) float64, and indices (q, k) int64.

        Ties go to the lowest index, so the result depends on nothing but the numbers. Raises
        ValueError for values that are not finite.
        """
        queries = queries.float()
        _check_finite(queries)
        width = min(len(self.vectors), BANK_ROWS)
        rows = max(1, min(len(queries), PRODUCT_BYTES[self.vectors.device.type] // (4 * width)))
        room = torch.empty(rows * width, device=self.vectors.device)
        distances, indices = [], []
        for start in range(0, max(len(queries), 1), rows):
            block = queries[start : start + rows]
            distance, index = self._search(_Search(block, left_out, k, room))
            distances.append(distance)
            indices.append(index)
        return torch.cat(distances), torch.cat(indices)

    def _search(self, search: _Search) -> tuple[Tensor, Tensor]:
        """A block's search by the first ranker that is fine enough; the last one always is."""
        *coarse, fine = self.rankers
        for ranker in coarse:
            found = self._ranked_by(ranker, search, at_most=CANDIDATES + search.k)
            if found is not None:
                return found
        found = self._ranked_by(fine, search, at_most=len(self.vectors))
        assert found is not None
        return found

    def _ranked_by(
        self, ranker: Ranker, search: _Search, *, at_most: int
    ) -> tuple[Tensor, Tensor] | None:
        """The search by one ranker; None where it leaves queries more than `at_most` candidates on
        average.
        """
        queries, k = search.queries, search.k
        count, device = len(queries), queries.device
        reach = torch.full((count,), torch.inf, dtype=torch.float64, device=device)
        distance = torch.full((count, k), torch.inf, dtype=torch.float64, device=device)
        index = torch.full((count, k), -1, device=device)
        block = ranker.prepare(queries)
        for start in range(0, len(self.vectors), BANK_ROWS):
            part = slice(start, min(start + BANK_ROWS, len(self.vectors)))
            size = part.stop - start
            room = search.room[: count * size].view(-1, size)
            values = ranker.rank(block, part, search.left_out[part], room)
            if size >= k:
                near = _reached(ranker, values, queries, self.vectors[part], k)
                reach = torch.minimum(reach, near)
            limit = ranker.limit(block, reach)[:, None]
            query, column = torch.nonzero(values <= limit, as_tuple=True)
            if len(query) > at_most * count:
                return None
            squared = _squared_distances(queries, query, self.vectors, column + start)
            distance, index = _merged(distance, index, query, squared, column + start)
        return distance, index


class FloatRanker:
    """Ranks by |b|² - 2q·b in float32, which orders vectors b as |q - b|² does."""

    beyond = float(torch.finfo(torch.float32).max)

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.norms = torch.linalg.vector_norm(vectors, dim=1).square()
        self.longest = self.norms.max().sqrt()

    def prepare(self, queries: Tensor) -> QueryBlock:
        """Rounding errors of a sum of d products grow with sqrt(d) (Higham and Mary, 2019); the
        factor leaves room for any order of summation.
        """
        lengths = torch.linalg.vector_norm(queries, dim=1).double()
        share = 4 * queries.shape[1] ** 0.5 * torch.finfo(torch.float32).eps
        rounding = share * (lengths + self.longest).square()
        return QueryBlock(queries, lengths.square(), rounding)

    def rank(self, block: QueryBlock, part: slice, left_out: Tensor, room: Tensor) -> Tensor:
        """As `Ranker.rank`; those left out rank as infinite."""
        norms = self.norms[part].masked_fill(left_out, torch.inf)
        return torch.addmm(norms, block.factors, self.vectors[part].T, alpha=-2, out=room)

    def limit(self, block: QueryBlock, distance: Tensor) -> Tensor:
        """As `Ranker.limit`, float32."""
        value = distance.square() - block.squares + block.slack
        return value.clamp(max=self.beyond).float()


class IntegerRanker:
    """Ranks by the distance between vectors rounded to multiples of one step, -127 to 127 of them,
    around the bank's mean.

    The product of the rounded vectors is exact in int32. By the triangle inequality a vector within
    r of its query is rounded to within r + (what rounding moved the query) + (what it moved the
    vector) of the rounded query, however coarse the step.
    """

    beyond = 2.0**29
    """Above |b|² - 2q·b of any rounded vectors of at most 8,192 dimensions; those that are left out
    lie above it whatever the product.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.centre = vectors.mean(0)
        self.step = float((vectors - self.centre).abs().max()) / 127 or 1.0
        bank = self.prepare(vectors)
        self.codes, self.norms, self.moved = bank.factors, bank.squares.int(), bank.slack.max()

    def prepare(self, queries: Tensor) -> QueryBlock:
        """What rounding moved them is the slack."""
        centred = queries - self.centre
        codes = (centred / self.step).round_().clamp_(-127, 127)
        # More than float32 loses on the way.
        lost = 1e-6 * torch.linalg.vector_norm(centred, dim=1)
        moved = torch.linalg.vector_norm(centred.sub_(codes, alpha=self.step), dim=1) + lost
        # Sums of 256 such squares are exact in float32.
        parts = [
            codes[:, start : start + 256].square().sum(1) for start in range(0, codes.shape[1], 256)
        ]
        squares = torch.stack(parts, 1).sum(1, dtype=torch.float64)
        return QueryBlock(codes.to(torch.int8), squares, moved.double())

    def rank(self, block: QueryBlock, part: slice, left_out: Tensor, room: Tensor) -> Tensor:
        """As `Ranker.rank`, in int32."""
        products = torch._int_mm(block.factors, self.codes[part].T, out=room.view(torch.int32))
        norms = self.norms[part].masked_fill(left_out, 2**30)
        return torch.sub(norms, products, alpha=2, out=products)

    def limit(self, block: QueryBlock, distance: Tensor) -> Tensor:
        """As `Ranker.limit`, int32."""
        reach = (distance + block.slack + self.moved) / self.step
        value = reach.square() * (1 + 1e-5) - block.squares + 1
        return value.clamp(max=self.beyond).ceil().int()


def _check_finite(vectors: Tensor) -> None:
    if vectors.numel() and not all(bool(extreme.isfinite()) for extreme in torch.aminmax(vectors)):
        raise ValueError("queries or bank vectors hold values that are not finite")


@cache
def _fast_integers(device: torch.device) -> bool:
    """Whether products of int8 run in the processor's own instructions for them, and come out
    right.

    Where oneDNN is held to older instructions (ONEDNN_MAX_CPU_ISA), torch's product saturates at 16
    bits on the way, without a word.
    """
    if device.type != "cpu" or not torch.cpu._is_vnni_supported():
        return False
    largest = torch.full((64, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * 127 * 127).all())


def _reached(ranker: Ranker, values: Tensor, queries: Tensor, vectors: Tensor, k: int) -> Tensor:
    """A distance (q,) within which each query has k vectors: that of the farthest of the k that
    rank first.
    """
    first = values.min(1, keepdim=True) if k == 1 else values.topk(k, largest=False)
    query = torch.arange(len(queries), device=queries.device).repeat_interleave(k)
    squared = _squared_distances(queries, query, vectors, first.indices.flatten()).view(-1, k)
    return squared.sqrt().where(first.values < ranker.beyond, torch.inf).amax(1)


def _squared_distances(queries: Tensor, query: Tensor, vectors: Tensor, vector: Tensor) -> Tensor:
    """Sums of squared differences of pairs (queries[query[i]], vectors[vector[i]]) in float64."""
    squared = torch.empty(len(query), dtype=torch.float64, device=query.device)
    at_once = PAIRS[query.device.type]
    first = torch.empty(min(len(query), at_once), queries.shape[1], device=query.device)
    second = torch.empty_like(first)
    exact = first.double()
    for start in range(0, len(query), at_once):
        pair = slice(start, start + at_once)
        size = len(squared[pair])
        torch.index_select(queries, 0, query[pair], out=first[:size])
        torch.index_select(vectors, 0, vector[pair], out=second[:size])
        difference = exact[:size].copy_(first[:size]).sub_(second[:size])
        squared[pair] = torch.linalg.vecdot(difference, difference)
    return squared


def _merged(
    distance: Tensor, index: Tensor, query: Tensor, squared: Tensor, vector: Tensor
) -> tuple[Tensor, Tensor]:
    """The k nearest of what was found before, (q, k), and of new pairs; equal distances by
    index.
    """
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
