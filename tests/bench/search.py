"""The exact nearest-neighbour search against this machine's matrix rate, faiss, and a bank too
large for one product.
"""

import torch
from bench import inputs
from bench.figure import Figure, exponent, fastest

from apc_bench.bank.memory_bank import MemoryBank

QUERIES, BANK = 16384, 6144
GROWTH = (1536, 6144, 24576)


def figures() -> list[Figure]:
    """Share of the matrix rate, ratio to faiss' flat index, growth with the bank."""
    torch.set_num_threads(inputs.THREADS)
    patches = inputs.training_patches()
    queries, vectors = patches[:QUERIES], patches[-BANK:]
    bank = bank_of(vectors)
    rate = matrix_rate()
    seconds, found = fastest(lambda: bank.nearest(queries))
    share = 100 * 2 * QUERIES * BANK * patches.shape[1] / seconds / rate
    faiss, index = _faiss(queries, vectors)
    growth = [
        fastest(lambda size=size: bank_of(patches[-size:]).nearest(queries[:2048]))[0]
        for size in GROWTH
    ]
    size = f"exact search of {QUERIES:,} patches in a bank of {BANK:,} × {patches.shape[1]}"
    agree = float((found.index[:, 0] == index).double().mean())
    return [
        Figure(
            what=f"{size}: share of the matrix rate",
            value=share,
            unit="%",
            at_least=80,
            how=f"{seconds:.2f} s; {rate / 1e9:.0f} GFLOP/s",
        ),
        Figure(
            what=f"{size}: times faiss' flat index",
            value=faiss / seconds,
            unit="×",
            how=f"{seconds:.2f} s against {faiss:.2f} s; {agree:.2%} same",
        ),
        Figure(
            what="search: exponent in the size of the bank", value=exponent(GROWTH, growth), unit=""
        ),
    ]


def bank_of(vectors: torch.Tensor, group: torch.Tensor | None = None) -> MemoryBank:
    """A memory bank of vectors (m, d), of the groups (m,) or a single one."""
    zeros = torch.zeros(len(vectors), dtype=torch.int32)
    groups = zeros if group is None else group.int()
    return MemoryBank(vectors.contiguous(), zeros, zeros.short(), zeros.short(), groups)


def matrix_rate(size: int = 2048) -> float:
    """Multiplications and additions a second of a float32 matrix product."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / fastest(lambda: left @ right, 8)[0]


def _faiss(queries: torch.Tensor, vectors: torch.Tensor) -> tuple[float, torch.Tensor]:
    import faiss

    faiss.omp_set_num_threads(inputs.THREADS)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors.numpy())
    seconds, (_, found) = fastest(lambda: index.search(queries.numpy(), 1))
    return seconds, torch.from_numpy(found[:, 0])
