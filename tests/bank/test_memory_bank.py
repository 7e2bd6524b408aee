"""The search is exact, whatever is left out, and its origins are right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.bank import search
from apc_bench.bank.memory_bank import MemoryBank, reweight


def bank_of(vectors: torch.Tensor, groups: int = 4) -> MemoryBank:
    number = torch.arange(len(vectors))
    return MemoryBank(
        vectors, number.int(), (number % 7).short(), (number % 5).short(), (number % groups).int()
    )


def plain(queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return ((queries.double()[:, None] - vectors.double()[None]) ** 2).sum(2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.booleans())
def test_the_nearest_are_those_of_brute_force(seed, k, excluded):
    generator = torch.Generator().manual_seed(seed)
    vectors = (
        torch.randn(40, 9, generator=generator) + 100
    )  # far from the origin, where float32 cancels
    queries = torch.randn(13, 9, generator=generator) + 100
    bank = bank_of(vectors)
    found = bank.nearest(queries, k=k, exclude_group=2 if excluded else None)
    distances = plain(queries, vectors)
    if excluded:
        distances[:, bank.group == 2] = torch.inf
        assert not (bank.group[found.index] == 2).any()
    expected = distances.sort(dim=1).values[:, :k]
    torch.testing.assert_close(found.distance.double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        distances.gather(1, found.index), found.distance.double(), rtol=1e-4, atol=1e-5
    )


def test_blocks_change_nothing(monkeypatch):
    vectors, queries = torch.randn(100, 16), torch.randn(50, 16)
    whole = bank_of(vectors).nearest(queries, k=3)
    for name, value in (("PRODUCT_BYTES", {"cpu": 400}), ("BANK_ROWS", 11), ("PAIRS", {"cpu": 5})):
        monkeypatch.setattr(search, name, value)
    blocked = bank_of(vectors).nearest(queries, k=3)
    assert torch.equal(whole.index, blocked.index)
    assert torch.equal(whole.distance, blocked.distance)


def test_a_query_from_the_bank_is_at_distance_zero_exactly():
    vectors = torch.randn(30, 8) * 1000 + 5000
    found = bank_of(vectors).nearest(vectors)
    assert (found.distance == 0).all()
    assert found.index[:, 0].tolist() == list(range(30))


def test_a_bank_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="1 nearest of 0 bank vectors"):
        bank_of(torch.randn(4, 3), groups=1).nearest(torch.zeros(1, 3), exclude_group=0)


def test_equal_vectors_are_told_apart_by_the_lowest_index():
    vectors = torch.ones(6, 4)
    assert bank_of(vectors).nearest(torch.zeros(2, 4), k=3).index.tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("neighbours", [2, 3, 9, 50])
def test_the_reweighting_is_the_paper_s_equation(neighbours):
    vectors, queries = torch.randn(20, 6), torch.randn(5, 6)
    bank = bank_of(vectors)
    nearest = bank.nearest(queries).index[:, 0]
    factors = reweight(torch.ones(5), queries, nearest, bank, neighbours=neighbours)
    for query, index, factor in zip(queries.numpy(), nearest.numpy(), factors.numpy(), strict=True):
        star = vectors[index].numpy()
        near = np.argsort(((vectors.numpy() - star) ** 2).sum(1))[:neighbours]
        distances = np.sqrt(((vectors.numpy()[near] - query) ** 2).sum(1))
        expected = 1 - np.exp(np.linalg.norm(query - star)) / np.exp(distances).sum()
        assert factor == pytest.approx(expected, abs=1e-5)
