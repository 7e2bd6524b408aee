"""A bank without a group, its hole closed, is searched as one bank of the vectors that are left."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.bank.memory_bank import MemoryBank, reweight
from apc_bench.bank.without_group import WithoutGroup

LEFT_OUT = 1


def bank_of(vectors: torch.Tensor, group: torch.Tensor, first: int = 0) -> MemoryBank:
    number = torch.arange(len(vectors)) + first
    return MemoryBank(vectors, number.int(), number.short(), number.short(), group.int())


def whole_numbers(seed: int, count: int) -> torch.Tensor:
    """Few of them, so that many vectors are equal and many equally far."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(9, (count, 3), generator=generator).float() * 7


def banks(seed: int, size: int, added: int) -> tuple[WithoutGroup, torch.Tensor, torch.Tensor]:
    """With the vectors that are left, in order, and their numbers."""
    group = torch.arange(size) % 3
    main = bank_of(whole_numbers(seed, size), group)
    filler = bank_of(whole_numbers(seed + 1, added), torch.zeros(added), 1000) if added else None
    kept = torch.nonzero(group != LEFT_OUT)[:, 0]
    beside = torch.empty(0, 3) if filler is None else filler.vectors
    numbers = torch.cat([kept, torch.arange(added) + size])
    left = torch.cat([main.vectors[kept], beside])
    return WithoutGroup(main, LEFT_OUT, filler), left, numbers


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 200), st.integers(0, 30), st.integers(1, 3))
def test_the_nearest_are_those_of_all_that_is_left(seed, size, added, k):
    bank, left, numbers = banks(seed, size, added)
    assert len(bank) == len(left)
    queries = whole_numbers(seed + 2, 40)
    k = min(k, len(left))
    found = bank.nearest(queries, k=k)
    squared = (queries[:, None] - left[None]).square().sum(2)
    distance, order = squared.sort(dim=1, stable=True)
    assert torch.equal(found.distance, distance[:, :k])
    assert torch.equal(found.index, numbers[order[:, :k]])
    assert torch.equal(bank.at(found.index), left[order[:, :k]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 300), st.integers(0, 30))
def test_all_farthest_are_among_those_found(seed, size, added):
    bank, left, numbers = banks(seed, size, added)
    queries = whole_numbers(seed + 2, 90)
    positions, found = bank.farthest(queries)
    expected, nearest = (queries[:, None] - left[None]).square().sum(2).min(1)
    assert (positions[1:] > positions[:-1]).all()
    assert torch.isin(torch.nonzero(expected == expected.max())[:, 0], positions).all()
    assert torch.equal(found.distance[:, 0], expected[positions])
    assert torch.equal(found.index[:, 0], numbers[nearest[positions]])


def test_places_are_of_the_bank_or_of_what_was_added():
    bank, _, _ = banks(0, 9, 4)
    assert bank.places(torch.tensor([0, 8, 9, 12]))[:, 0].tolist() == [0, 8, 1000, 1003]


def test_a_group_that_filled_the_bank_leaves_what_was_added():
    main = bank_of(whole_numbers(0, 5), torch.ones(5))
    filler = bank_of(whole_numbers(1, 2), torch.zeros(2), 1000)
    bank = WithoutGroup(main, LEFT_OUT, filler)
    queries = whole_numbers(2, 6)
    positions, found = bank.farthest(queries)
    assert torch.equal(positions, torch.arange(6))
    assert torch.equal(found.index, bank.nearest(queries).index)
    assert (found.index >= 5).all()
    assert len(WithoutGroup(main, LEFT_OUT, None)) == 0


def test_more_than_there_are_cannot_be_found():
    bank, left, _ = banks(0, 9, 2)
    with pytest.raises(ValueError, match=f"the {len(left) + 1} nearest of {len(left)}"):
        bank.nearest(whole_numbers(1, 2), k=len(left) + 1)


def test_scores_are_reweighted_by_all_that_is_left():
    """As with one bank of these vectors."""
    generator = torch.Generator().manual_seed(0)
    vectors, patches = (
        torch.randn(40, 5, generator=generator),
        torch.randn(6, 5, generator=generator),
    )
    group = (torch.arange(30) % 3).int()
    main, filler = bank_of(vectors[:30], group), bank_of(vectors[30:], torch.zeros(10), 1000)
    bank = WithoutGroup(main, LEFT_OUT, filler)
    kept = torch.cat([torch.nonzero(group != LEFT_OUT)[:, 0], torch.arange(30, 40)])
    plain = bank_of(vectors[kept], torch.zeros(len(kept)))
    scores = torch.ones(6)
    near, alike = bank.nearest(patches).index[:, 0], plain.nearest(patches).index[:, 0]
    assert torch.equal(near, kept[alike])
    ours = reweight(scores, patches, near, bank, neighbours=4)
    assert torch.allclose(ours, reweight(scores, patches, alike, plain, neighbours=4))
    assert not torch.allclose(ours, scores)
