"""Values that order vectors nearly as their distances do, each with a bound on its error: a matrix
product in float32, or in int8 where the processor multiplies integers several times as fast (a
quarter of the bytes, the same numbers).
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from apc_bench.bank.rotation import Rotation

LARGE = 0.01
"""Share of a bank, at most, that is too large for the integers and is ranked in float32."""

PREPARED = 4096
"""Bank vectors that are made ready at a time, so that little lies beside the bank."""


class Ranker(Protocol):
    """Values that order bank vectors nearly as their distances do, in 32 bits. `beyond`: a value
    that only vectors that are left out exceed.
    """

    beyond: float

    def __len__(self) -> int:
        """Its vectors."""

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


class FloatRanker:
    """Ranks by |b|² - 2q·b in float32, which orders vectors b as |q - b|² does."""

    beyond = float(torch.finfo(torch.float32).max)

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.norms = torch.linalg.vector_norm(vectors, dim=1).square()
        self.longest = self.norms.max().sqrt()

    def __len__(self) -> int:
        return len(self.vectors)

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
    around the bank's mean and after a rotation.

    The product of the rounded vectors is exact in int32. By the triangle inequality a vector within
    r of its query is rounded to within r + (what rounding moved the query) + (what it moved the
    vector) of the rounded query, however coarse the step.
    """

    beyond = 2.0**29
    """Above |b|² - 2q·b of any rounded vectors of at most 8,192 dimensions; those that are left out
    lie above it whatever the product.
    """

    def __init__(self, vectors: Tensor, fitting: Tensor, space: "IntegerSpace") -> None:
        self.space = space
        blocks = [self.prepare(vectors[part]) for part in torch.split(fitting, PREPARED)]
        self.codes = torch.cat([block.factors for block in blocks])
        self.norms = torch.cat([block.squares for block in blocks]).int()
        self.moved = torch.stack([block.slack.max() for block in blocks]).max()

    def __len__(self) -> int:
        return len(self.codes)

    def prepare(self, queries: Tensor) -> QueryBlock:
        """What rounding moved them is the slack."""
        turned, lost = self.space.turned(queries)
        step = self.space.step
        codes = (turned / step).round_().clamp_(-127, 127)
        moved = torch.linalg.vector_norm(turned.sub_(codes, alpha=step), dim=1) + lost
        # Sums of 256 such squares are exact in float32.
        parts = [part.square().sum(1) for part in torch.split(codes, 256, dim=1)]
        squares = torch.stack(parts, 1).sum(1, dtype=torch.float64)
        return QueryBlock(codes.to(torch.int8), squares, moved.double())

    def rank(self, block: QueryBlock, part: slice, left_out: Tensor, room: Tensor) -> Tensor:
        """As `Ranker.rank`, in int32."""
        products = torch._int_mm(block.factors, self.codes[part].T, out=room.view(torch.int32))
        norms = self.norms[part].masked_fill(left_out, 2**30)
        return torch.sub(norms, products, alpha=2, out=products)

    def limit(self, block: QueryBlock, distance: Tensor) -> Tensor:
        """As `Ranker.limit`, int32."""
        reach = (distance + block.slack + self.moved) / self.space.step
        value = reach.square() * (1 + 1e-5) - block.squares + 1
        return value.clamp(max=self.beyond).ceil().int()


class IntegerSpace:
    """Where vectors are rounded: around the bank's mean, rotated, by a step that all but a LARGE
    share of the bank fits.

    Real features have a few components and a few vectors that are far larger than the rest. The
    rotation spreads the components; the vectors are ranked in float32, else they would set the step
    for all.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.centre = vectors.mean(0)
        self.rotation = Rotation(vectors.shape[1], vectors.device)
        extents = torch.cat([self.extents(part) for part in torch.split(vectors, PREPARED)])
        beyond = int(LARGE * len(extents))
        limit = extents.topk(beyond + 1).values[-1]
        self.step = float(limit) / 127 or 1.0
        self.large = extents > limit

    def turned(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (n, d) around the mean, rotated, and (n,) more than float32 may have moved them
        on the way (as `FloatRanker.prepare`).
        """
        turned = self.rotation(vectors - self.centre)
        share = 4 * vectors.shape[1] ** 0.5 * torch.finfo(torch.float32).eps
        return turned, share * torch.linalg.vector_norm(turned, dim=1)

    def extents(self, vectors: Tensor) -> Tensor:
        """The largest component (n,) of each vector here."""
        return self.turned(vectors)[0].abs().amax(1)


@cache
def fast_integers(device: torch.device) -> bool:
    """Whether products of int8 run in the processor's own instructions for them, and come out
    right.

    Where oneDNN is held to older instructions (ONEDNN_MAX_CPU_ISA), torch's product saturates at 16
    bits on the way, without a word.
    """
    if device.type != "cpu" or not torch.cpu._is_vnni_supported():
        return False
    largest = torch.full((64, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * 127 * 127).all())
