"""The approximate search: an index of faiss says which vectors may be nearest, float64 decides
among them, and now and then the exact search tells how often it is right.
"""

import torch
from torch import Tensor

from apc_bench.bank import faiss_index
from apc_bench.bank.search import Index, check_finite, merged, squared_distances
from apc_bench.metrics.search_recall import SearchRecall
from apc_bench.settings.search import FaissSearch

BEYOND = 7
"""Vectors that are asked for beside the nearest: near ties, and what codes of few bits put in
another order, float64 puts right.
"""

LEFT_OUT = 256
"""At most so many more, where vectors are left out; a query that none is left of is searched for
exactly.
"""

SAMPLED = 64
"""One query in so many is searched for exactly too."""


class ApproximateIndex:
    """As `search.Index`, but it may miss the nearest vector; the distance to what it finds is
    exact. `recall`: how often it found the nearest, so far.

    Raises ValueError for values that are not finite, UsageError where the vectors are too few.
    """

    def __init__(self, vectors: Tensor, search: FaissSearch) -> None:
        self.exact = Index(vectors, integers=False)
        self.vectors = vectors
        self.index = faiss_index.filled(search, vectors.cpu().numpy())
        self.recall = SearchRecall(str(search), 0, 0)
        self._draws = torch.Generator().manual_seed(0)

    def nearest(self, queries: Tensor, left_out: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As `Index.nearest`, of what was found. A query of which fewer than k are found is
        searched for exactly.
        """
        queries = queries.float()
        check_finite(queries)
        numbers = self._near(queries, k + BEYOND + min(int(left_out.sum()), LEFT_OUT))
        query, column = torch.nonzero((numbers >= 0) & ~left_out[numbers], as_tuple=True)
        vector = numbers[query, column]
        squared = squared_distances(queries, query, self.vectors, vector)
        distance = squared.new_full((len(queries), k), torch.inf)
        distance, index = merged(
            distance, numbers.new_full((len(queries), k), -1), query, squared, vector
        )
        few = torch.nonzero(index[:, -1] < 0)[:, 0]
        if len(few):
            distance[few], index[few] = self.exact.nearest(queries[few], left_out, k)
        if k == 1 and len(queries):
            self._sample(queries, left_out, distance[:, 0])
        return distance, index

    def near(self, queries: Tensor, left_out: Tensor, among: int) -> Tensor:
        """As `Index.near`: nothing is known beforehand."""
        return queries.new_full((len(queries),), torch.inf, dtype=torch.float64)

    def _near(self, queries: Tensor, count: int) -> Tensor:
        """Numbers (q, count) of vectors near the queries, -1 where fewer are found."""
        numbers = faiss_index.found(
            self.index,
            queries.cpu().numpy(),
            min(count, len(self.vectors)),
            threads=torch.get_num_threads(),
        )
        return torch.from_numpy(numbers).to(queries.device)

    def _sample(self, queries: Tensor, left_out: Tensor, distance: Tensor) -> None:
        """Counts how many of some queries' nearest vectors were found, as near as they are."""
        count = -(-len(queries) // SAMPLED)
        rows = torch.randperm(len(queries), generator=self._draws)[:count].to(queries.device)
        exact, _ = self.exact.nearest(queries[rows], left_out, 1)
        right = int((distance[rows] <= exact[:, 0]).sum())
        known = self.recall
        self.recall = SearchRecall(known.search, known.found + right, known.sampled + count)
