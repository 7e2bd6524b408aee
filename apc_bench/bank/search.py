"""The exact search for nearest vectors: a ranking with a bounded error (rankers.py) says which can
be nearest, and these are compared in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apc_bench.bank.rankers import (
    FloatRanker,
    IntegerRanker,
    IntegerSpace,
    QueryBlock,
    Ranker,
    fast_integers,
)

if TYPE_CHECKING:
    from apc_bench.bank.flat import Flat

Way = list[tuple[Ranker, Tensor]]
"""A way to search: rankers, each with the numbers (m,) int64 of its vectors in the bank, ascending;
together they have all.
"""

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

CANDIDATES = 40
"""A query with more candidates than one in so many of the bank is ranked again, in float32: its row
of a product with 16,384 vectors of 1,024 takes as long as 600 exact comparisons, for a few queries
more than a thousand (one core).
"""


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
    """Vectors (m, d) float32 made ready for many searches. `integers`: in integers first, where
    the processor is fast in them. Raises ValueError for values that are not finite.
    """

    def __init__(self, vectors: Tensor, *, integers: bool = True) -> None:
        check_finite(vectors)
        self.vectors = vectors
        self.ways: tuple[Way, ...] = (in_floats(vectors),)
        self.flat: Flat | None = None
        if vectors.device.type == "cpu" and not fast_integers(vectors.device):
            self.flat = _flat(vectors)
        elif integers and fast_integers(vectors.device):
            self.ways = (in_integers(vectors), *self.ways)

    def nearest(self, queries: Tensor, left_out: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the vectors that are not `left_out` (m,) bool, of each query (q, d), all
        on the index's device: squared L2 distances (q, k) float64, and indices (q, k) int64.

        Ties go to the lowest index, so the result depends on nothing but the numbers. Raises
        ValueError for values that are not finite.
        """
        found = [self._search(block) for block in self._blocks(queries, left_out, k)]
        return torch.cat([distance for distance, _ in found]), torch.cat([at for _, at in found])

    def near(self, queries: Tensor, left_out: Tensor, among: int) -> Tensor:
        """Distances (q,) float64, exact, of queries as in `nearest` to a vector each, about the
        nearest of the bank's first `among` (at most BANK_ROWS) that are not `left_out`; infinite
        where none is found.
        """
        ranker, numbers = self.ways[0][0]
        first = slice(int(torch.searchsorted(numbers, min(among, BANK_ROWS))))
        if not first.stop:
            return torch.full(
                (len(queries),), torch.inf, dtype=torch.float64, device=numbers.device
            )
        found = []
        for block in self._blocks(queries, left_out, 1):
            values = _ranked(ranker, ranker.prepare(block.queries), first, numbers[first], block)
            found.append(self._reached(ranker, values, block.queries, numbers[first], 1))
        return torch.cat(found)

    def _blocks(self, queries: Tensor, left_out: Tensor, k: int) -> Iterator[_Search]:
        """Searches of so many queries that a product with BANK_ROWS vectors has PRODUCT_BYTES."""
        queries = queries.float()
        check_finite(queries)
        width = min(len(self.vectors), BANK_ROWS)
        rows = max(1, min(len(queries), PRODUCT_BYTES[self.vectors.device.type] // (4 * width)))
        room = torch.empty(rows * width, device=self.vectors.device)
        for start in range(0, max(len(queries), 1), rows):
            yield _Search(queries[start : start + rows], left_out, k, room)

    def _search(self, search: _Search) -> tuple[Tensor, Tensor]:
        """A block's search: by faiss, where it ranks and no vector is left out; what that leaves in
        our own ways.
        """
        if self.flat is None or bool(search.left_out.any()):
            return self._in_ways(search)
        distance, index, unsettled = self.flat.nearest(search.queries, search.k)
        rows = torch.nonzero(unsettled)[:, 0]
        if len(rows):
            again = replace(search, queries=search.queries[rows])
            distance[rows], index[rows] = self._in_ways(again)
        return distance, index

    def _in_ways(self, search: _Search) -> tuple[Tensor, Tensor]:
        """In the first way, and where that leaves a query too many candidates, in the next."""
        (first, *others), whole = self.ways, len(self.vectors)
        # The last way settles all, however many candidates it has.
        at_most = max(1, whole // CANDIDATES) + search.k if others else whole
        distance, index, unsettled = self._searched(first, search, at_most)
        for way in others:
            rows = torch.nonzero(unsettled)[:, 0]
            if len(rows):
                again = replace(search, queries=search.queries[rows])
                distance[rows], index[rows], _ = self._searched(way, again, whole)
        return distance, index

    def _searched(self, way: Way, search: _Search, at_most: int) -> tuple[Tensor, Tensor, Tensor]:
        """The search in one way, and (q,) bool: the queries that it leaves more than `at_most`
        candidates in some part, and does not settle.
        """
        queries, k = search.queries, search.k
        count, device = len(queries), queries.device
        reach = torch.full((count,), torch.inf, dtype=torch.float64, device=device)
        distance = torch.full((count, k), torch.inf, dtype=torch.float64, device=device)
        index = torch.full((count, k), -1, device=device)
        unsettled = torch.zeros(count, dtype=torch.bool, device=device)
        for ranker, numbers in way:
            block = ranker.prepare(queries)
            for start in range(0, len(ranker), BANK_ROWS):
                part = slice(start, min(start + BANK_ROWS, len(ranker)))
                own = numbers[part]
                values = _ranked(ranker, block, part, own, search)
                if len(own) >= k:
                    near = self._reached(ranker, values, queries, own, k)
                    reach = torch.minimum(reach, near)
                limit = ranker.limit(block, reach)[:, None]
                query, column = torch.nonzero(values <= limit, as_tuple=True)
                unsettled |= torch.bincount(query, minlength=count) > at_most
                settled = ~unsettled[query]
                query, column = query[settled], column[settled]
                squared = squared_distances(queries, query, self.vectors, own[column])
                distance, index = merged(distance, index, query, squared, own[column])
        return distance, index, unsettled

    def _reached(
        self, ranker: Ranker, values: Tensor, queries: Tensor, own: Tensor, k: int
    ) -> Tensor:
        """A distance (q,) within which each query has k vectors: that of the farthest of the k that
        rank first among those of the numbers `own`.
        """
        first = values.min(1, keepdim=True) if k == 1 else values.topk(k, largest=False)
        query = torch.arange(len(queries), device=queries.device).repeat_interleave(k)
        vector = own[first.indices.flatten()]
        squared = squared_distances(queries, query, self.vectors, vector).view(-1, k)
        return squared.sqrt().where(first.values < ranker.beyond, torch.inf).amax(1)


def _flat(vectors: Tensor) -> Flat:
    from apc_bench.bank.flat import Flat  # faiss is loaded where it is used

    return Flat(vectors)


def _ranked(ranker: Ranker, block: QueryBlock, part: slice, own: Tensor, search: _Search) -> Tensor:
    """Values (q, p) of a search's prepared queries and the ranker's vectors of `part`, whose
    numbers are `own` (p,).
    """
    room = search.room[: len(search.queries) * len(own)].view(-1, len(own))
    return ranker.rank(block, part, search.left_out[own], room)


def in_floats(vectors: Tensor) -> Way:
    """All vectors ranked in float32."""
    return [(FloatRanker(vectors), torch.arange(len(vectors), device=vectors.device))]


def in_integers(vectors: Tensor) -> Way:
    """All that fit ranked in integers; the few that are too large for those in float32."""
    space = IntegerSpace(vectors)
    fitting, large = torch.nonzero(~space.large)[:, 0], torch.nonzero(space.large)[:, 0]
    way: Way = [(IntegerRanker(vectors, fitting, space), fitting)]
    if len(large):
        way.append((FloatRanker(vectors[large]), large))
    return way


def check_finite(vectors: Tensor) -> None:
    """Raises ValueError for values that are not."""
    if vectors.numel() and not all(bool(extreme.isfinite()) for extreme in torch.aminmax(vectors)):
        raise ValueError("queries or bank vectors hold values that are not finite")


def squared_distances(queries: Tensor, query: Tensor, vectors: Tensor, vector: Tensor) -> Tensor:
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


def merged(
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
