"""The coreset and the search on a GPU: how fast, and what share of its matrix rate."""

import torch
from bench.figure import Figure, fastest
from bench.gpu_finetuning import matrix_rates
from bench.gpu_inputs import set_determinism

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.bank.memory_bank import MemoryBank

TRAINING, DIMENSIONS, RATIO = 163_856, 1024, 0.1
QUERIES = 83 * 784


def figures() -> list[Figure]:
    """A bank of MVTec AD's size (209 images of 28 × 28 patches): its coreset, and the search for a
    test set's patches.
    """
    rate = matrix_rates()["float32"]
    set_determinism()
    patches = _clustered(TRAINING)
    spent, chosen = fastest(lambda: greedy_coreset(patches, int(TRAINING * RATIO), seed=0))
    vectors = patches[chosen].contiguous()
    places = [
        torch.zeros(len(vectors), dtype=kind)
        for kind in (torch.int32, torch.int16, torch.int16, torch.int32)
    ]
    bank = MemoryBank(vectors, *(place.cuda() for place in places))
    queries = _clustered(QUERIES, seed=1)
    searched, _ = fastest(lambda: _synchronised(bank, queries))
    operations = 2 * QUERIES * len(vectors) * DIMENSIONS
    return [
        Figure(
            what=f"coreset of {TRAINING:,} × {DIMENSIONS} to 10 %, projection included",
            value=spent,
            unit="s",
        ),
        Figure(
            what=(
                f"search of {QUERIES:,} in {len(vectors):,} × {DIMENSIONS}: share of the float32"
                " matrix rate"
            ),
            value=100 * operations / searched / rate,
            unit="%",
            at_least=80,
            how=f"{searched:.3f} s, {rate / 1e12:.0f} TFLOP/s",
        ),
    ]


def _clustered(count: int, seed: int = 0) -> torch.Tensor:
    """Vectors around a thousand centres, as patches of one kind of part lie."""
    generator = torch.Generator(device="cuda").manual_seed(7)
    centres = torch.randn(1000, DIMENSIONS, generator=generator, device="cuda")
    generator.manual_seed(seed)
    own = torch.randint(0, 1000, (count,), generator=generator, device="cuda")
    return centres[own] + 0.3 * torch.randn(count, DIMENSIONS, generator=generator, device="cuda")


def _synchronised(bank: MemoryBank, queries: torch.Tensor) -> None:
    for start in range(0, len(queries), 16 * 784):
        bank.nearest(queries[start : start + 16 * 784])
    torch.cuda.synchronize()
