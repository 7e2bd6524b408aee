"""A fixed rotation of feature vectors, so that no component is much larger than the others."""

from itertools import pairwise

import torch
from scipy.linalg import hadamard
from torch import Tensor

EXPONENT = 6
"""Of the largest Hadamard matrix of a product, 64: by two of 32 a value of a vector of 1,024 costs
64 multiplications, not 1,024.
"""


class Rotation:
    """Random signs, then a Kronecker product of small orthogonal matrices: Hadamard matrices for
    the powers of two in the dimension, a random matrix for what is left of it.

    Leaves distances alone and spreads each component over all (Ailon and Chazelle, SIAM J. Comput.
    2009). The same for a dimension.
    """

    def __init__(self, dimension: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (dimension,), generator=generator) * 2 - 1
        self.signs = signs.float().to(device)
        power = dimension & -dimension
        matrices = [_hadamard(size) for size in _sizes(power)]
        if dimension > power:
            matrices.append(_orthogonal(dimension // power, generator))
        self.matrices = [matrix.to(device) for matrix in matrices]

    def __call__(self, vectors: Tensor) -> Tensor:
        """(n, d) float32, rotated."""
        count, dimension = vectors.shape
        turned = vectors * self.signs
        for matrix in self.matrices:
            size = len(matrix)
            turned = turned.reshape(-1, size) @ matrix
            turned = turned.view(count, dimension // size, size).transpose(1, 2)
        return turned.reshape(count, dimension)


def _sizes(power: int) -> list[int]:
    """Powers of two, about equal and at most 2 ** EXPONENT, whose product is `power`."""
    exponent = power.bit_length() - 1
    count = -(-exponent // EXPONENT)
    bounds = [exponent * part // count for part in range(count + 1)] if count else []
    return [2 ** (upto - start) for start, upto in pairwise(bounds)]


def _hadamard(size: int) -> Tensor:
    return torch.from_numpy(hadamard(size) / size**0.5).float()


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    gaussian = torch.randn(size, size, dtype=torch.float64, generator=generator)
    orthogonal: Tensor = torch.linalg.qr(gaussian).Q
    return orthogonal.float()
