"""A memory bank as it would be without a group's images: their vectors taken out, and the hole that
they leave closed (bank/holes.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from apc_bench.bank.memory_bank import MemoryBank, Nearest


@dataclass(frozen=True, slots=True, eq=False)
class WithoutGroup:
    """Searched as a memory bank is; the vectors of `filler`, where there are any, come after the
    bank's own.
    """

    bank: MemoryBank
    group: int
    filler: MemoryBank | None

    def __len__(self) -> int:
        return self._left + (0 if self.filler is None else len(self.filler))

    @property
    def _left(self) -> int:
        """Vectors of the bank that are not the group's."""
        return int((self.bank.group != self.group).sum())

    def at(self, indices: Tensor) -> Tensor:
        """The vectors (…, d) at these positions (…) int64."""
        own = self.bank.at(indices.clamp(max=len(self.bank) - 1))
        if self.filler is None:
            return own
        added = self.filler.at((indices - len(self.bank)).clamp(min=0))
        return torch.where((indices < len(self.bank))[..., None], own, added)

    def places(self, vectors: Tensor) -> Tensor:
        """As MemoryBank.places."""
        own = self.bank.places(vectors.clamp(max=len(self.bank) - 1))
        if self.filler is None:
            return own
        added = self.filler.places((vectors - len(self.bank)).clamp(min=0))
        return torch.where((vectors < len(self.bank)).cpu()[:, None], own, added)

    def nearest(self, queries: Tensor, *, k: int = 1) -> Nearest:
        """As MemoryBank.nearest."""
        left, found = self._left, []
        if not 1 <= k <= len(self):
            raise ValueError(f"cannot find the {k} nearest of {len(self)} bank vectors")
        if left:
            own = self.bank.nearest(queries, exclude_group=self.group, k=min(k, left))
            found.append(own)
        if self.filler is not None:
            found.append(self._added(queries, min(k, len(self.filler))))
        return _nearest_of(found, k)

    def farthest(self, queries: Tensor) -> tuple[Tensor, Nearest]:
        """As MemoryBank.farthest."""
        if self.filler is None:
            return self.bank.farthest(queries, exclude_group=self.group)
        added = self._added(queries, 1)
        if not self._left:
            return torch.arange(len(queries), device=queries.device), added
        positions, own = self.bank.farthest(
            queries, exclude_group=self.group, at_most=added.distance[:, 0]
        )
        beside = Nearest(added.distance[positions], added.index[positions])
        return positions, _nearest_of([own, beside], 1)

    def _added(self, queries: Tensor, k: int) -> Nearest:
        assert self.filler is not None
        found = self.filler.nearest(queries, k=k)
        return Nearest(found.distance, found.index + len(self.bank))


def _nearest_of(found: list[Nearest], k: int) -> Nearest:
    """The k nearest of all; of equal ones the first."""
    distance = torch.cat([one.distance for one in found], dim=1)
    index = torch.cat([one.index for one in found], dim=1)
    distance, order = distance.sort(dim=1, stable=True)
    return Nearest(distance[:, :k], index.gather(1, order)[:, :k])
