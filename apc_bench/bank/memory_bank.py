"""The memory bank: normal patch vectors with their origins, and the exact search for the nearest (METHOD.md section 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from apc_bench.bank.precision import full_precision

QUERY_ROWS, BANK_ROWS = 1024, 8192
"""Rows and columns of one matrix product: 32 MiB in float32, however large the bank."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """distance (q, k): squared L2, ascending; index (q, k) int64 into the bank."""

    distance: Tensor
    index: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Vectors (m, d) float32; where each comes from: image (m,) int32 (position among the training images), row, column (m,) int16 on the
    patch grid; group (m,) int32 of its image, on the vectors' device."""

    vectors: Tensor
    image: Tensor
    row: Tensor
    column: Tensor
    group: Tensor

    def nearest(self, queries: Tensor, *, exclude_group: int | None = None, k: int = 1) -> Nearest:
        """The k nearest bank vectors of each query (q, d), exactly; `exclude_group`: without the rows of one group.

        Candidates come from blocked products |c|² - 2x·c of centred vectors; the winners' distances are computed again as sums of squared
        differences, so that they carry no cancellation. Deterministic. Raises ValueError where fewer than k vectors are left.
        """
        left = len(self.vectors) if exclude_group is None else int((self.group != exclude_group).sum())
        if left < k:
            raise ValueError(f"the bank has {left} vectors to search, {k} are needed")
        with torch.no_grad(), full_precision(queries.device):
            centre = self.vectors.mean(0)
            parts = [self._search(rows, centre, exclude_group, k) for rows in queries.split(QUERY_ROWS)]
        distance, index = (torch.cat(column) for column in zip(*parts, strict=True)) if parts else (queries.new_zeros(0, k), queries.new_zeros(0, k))
        return Nearest(distance, index.long())

    def _search(self, queries: Tensor, centre: Tensor, exclude_group: int | None, k: int) -> tuple[Tensor, Tensor]:
        centred = queries - centre
        best = queries.new_full((len(queries), k), float("inf"))
        index = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
        for start in range(0, len(self.vectors), BANK_ROWS):
            bank = self.vectors[start : start + BANK_ROWS] - centre
            found = torch.addmm(bank.square().sum(1), centred, bank.T, alpha=-2)
            if exclude_group is not None:
                found[:, self.group[start : start + BANK_ROWS] == exclude_group] = float("inf")
            values, places = found.min(1, keepdim=True) if k == 1 else found.topk(min(k, len(bank)), dim=1, largest=False)
            best, order = torch.cat([best, values], dim=1).sort(dim=1, stable=True)
            index = torch.cat([index, places + start], dim=1).gather(1, order)[:, :k]
            best = best[:, :k]
        exact = torch.stack([(queries - self.vectors[column]).square().sum(1) for column in index.unbind(1)], dim=1)
        exact, order = exact.sort(dim=1, stable=True)
        return exact, index.gather(1, order)


def reweight(queries: Tensor, nearest: Tensor, bank: MemoryBank, *, neighbours: int) -> Tensor:
    """The factors (n,) that the paper puts on image scores: 1 - softmax over the neighbourhood of the nearest bank vector.

    queries (n, d): each image's worst patch; nearest (n,): the index of its nearest bank vector. With N the `neighbours` bank vectors nearest to that
    one (itself among them), the factor is 1 - exp(|x - m|) / Σ_N exp(|x - m'|) over Euclidean distances (PatchCore, equation 7; b = 9 in anomalib).
    A bank smaller than `neighbours` is its own neighbourhood.
    """
    around = bank.nearest(bank.vectors[nearest], k=min(neighbours, len(bank.vectors))).index
    to_all = (queries[:, None] - bank.vectors[around]).square().sum(2).sqrt()
    to_nearest = (queries - bank.vectors[nearest]).square().sum(1).sqrt()
    return 1 - torch.exp(to_nearest - torch.logsumexp(to_all, dim=1))
