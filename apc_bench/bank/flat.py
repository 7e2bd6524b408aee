"""faiss' flat search as a ranking with a bounded error: where a processor has no instructions for
integers it takes 2 to 17 % less time than a product in torch that is read again (patches of real
images, one thread).
"""

import faiss
import torch
from torch import Tensor

from apc_bench.bank.search import merged, squared_distances

BEYOND = 7
"""Vectors that are asked for beside the nearest: the last says how far the others are at least."""


class Flat:
    """Vectors (m, d) float32 on the CPU."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.longest = float(torch.linalg.vector_norm(vectors, dim=1).max())

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """As `search.Index.nearest`, and (q,) bool: the queries that it does not settle.

        Its squared distances |q|² + |b|² - 2q·b in float32 are off by at most e, as those of
        rankers.FloatRanker, taken twice for the sum with |q|². A vector that it did not find has a
        distance of at least its last less e, and k have one of at most its k-th plus e: if that is
        less, the nearest are among those within 2e of the k-th, and these float64 compares.
        """
        faiss.omp_set_num_threads(torch.get_num_threads())
        count = min(k + BEYOND, len(self.vectors))
        ranked, numbers = map(
            torch.from_numpy, faiss.knn(queries.numpy(), self.vectors.numpy(), count)
        )
        lengths = torch.linalg.vector_norm(queries, dim=1).double()
        share = 8 * queries.shape[1] ** 0.5 * torch.finfo(torch.float32).eps
        error = share * (lengths + self.longest).square() + 1e-30  # what is so small is lost
        limit = ranked[:, k - 1].double() + 2 * error
        unsettled = ~(ranked[:, -1] > limit)
        if count == len(self.vectors):
            unsettled.fill_(False)
            limit.fill_(torch.inf)
        unsettled |= numbers[:, -1] < 0  # a square was too large for float32
        near = (ranked <= limit[:, None]) & (numbers >= 0)
        query, column = torch.nonzero(near, as_tuple=True)
        vector = numbers[query, column]
        squared = squared_distances(queries, query, self.vectors, vector)
        distance = squared.new_full((len(queries), k), torch.inf)
        none = numbers.new_full((len(queries), k), -1)
        return *merged(distance, none, query, squared, vector), unsettled
