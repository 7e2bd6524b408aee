"""The farthest patch is the one that brute force finds, with fewer comparisons."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.bank.memory_bank import MemoryBank


def bank_of(vectors: torch.Tensor, group: torch.Tensor) -> MemoryBank:
    number = torch.arange(len(vectors))
    return MemoryBank(vectors, number.int(), number.short(), number.short(), group.int())


def patches(seed: int, count: int, levels: int) -> torch.Tensor:
    """Vectors of few whole numbers, so that many are equal and many equally far."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (count, 3), generator=generator).float() * 7


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(2, 30), st.booleans())
def test_all_farthest_are_among_those_found(seed, size, levels, excluded):
    vectors, queries = patches(seed, size, levels), patches(seed + 1, 90, levels)
    group = torch.arange(size) % 3
    left_out = 1 if excluded and size > 1 else None
    kept = torch.ones(size, dtype=torch.bool) if left_out is None else group != left_out
    bank = bank_of(vectors, group)
    positions, found = bank.farthest(queries, exclude_group=left_out)
    distance = (queries[:, None] - vectors[kept][None]).square().sum(2)
    expected, nearest = distance.min(1)
    assert (positions[1:] > positions[:-1]).all()
    all_farthest = torch.nonzero(expected == expected.max())[:, 0]
    assert torch.isin(all_farthest, positions).all()
    assert torch.equal(found.distance[:, 0], expected[positions])
    assert torch.equal(found.index[:, 0], torch.nonzero(kept)[:, 0][nearest[positions]])


def test_all_are_searched_for_where_the_bank_s_first_vectors_are_left_out():
    group = torch.tensor([5] * 20 + [6] * 60)
    vectors, queries = patches(0, 80, 50), patches(1, 9, 50)
    bank = bank_of(vectors, group)
    positions, found = bank.farthest(queries, exclude_group=5)
    assert torch.equal(positions, torch.arange(9))
    nearest = (queries[:, None] - vectors[None, 20:]).square().sum(2).min(1)
    assert torch.equal(found.distance[:, 0], nearest.values)
    assert torch.equal(found.index[:, 0], nearest.indices + 20)


def test_what_nearest_refuses_is_refused():
    bank = bank_of(patches(0, 20, 50), torch.zeros(20))
    with pytest.raises(ValueError, match="vectors of width 3"):
        bank.farthest(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="the 1 nearest of 0"):
        bank.farthest(torch.zeros(4, 3), exclude_group=0)
    with pytest.raises(ValueError, match="no queries"):
        bank.farthest(torch.zeros(0, 3))


def test_few_patches_are_searched_for_in_the_whole_bank():
    generator = np.random.default_rng(0)
    clusters = generator.normal(size=(40, 32)) * 4
    points = clusters[generator.integers(40, size=4000)] + generator.normal(size=(4000, 32)) * 0.3
    points = torch.from_numpy(points).float()
    vectors = points[greedy_coreset(points, 800, projection_dim=None, seed=0)]
    queries = points[:500] + 0.05
    queries[77] += 3
    bank = bank_of(vectors, torch.zeros(800))
    positions, found = bank.farthest(queries)
    assert int(positions[found.distance[:, 0].argmax()]) == 77
    assert len(positions) < 100
