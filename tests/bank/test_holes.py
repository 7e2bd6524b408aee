"""What closes the hole that a group leaves in a coreset, against the plain loop and by what it must
reach.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_holes import plainly

from apc_bench.bank.coreset import compared, greedy_coreset
from apc_bench.bank.holes import closing


def coreset_of(seed: int, count: int, picks: int) -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return points, greedy_coreset(points, picks, projection_dim=None, seed=seed)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 120), st.integers(2, 19), st.integers(2, 7))
def test_they_are_those_of_the_plain_loop(seed, count, picks, groups):
    points, chosen = coreset_of(seed, count, picks)
    group = torch.arange(count) % groups
    found = closing(points, chosen, group, range(groups))
    for without in range(groups):
        rows = found[without].tolist() if without in found else []
        if (group[chosen] != without).any():
            assert rows == plainly(points, chosen, group, without)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 300), st.integers(1, 19), st.integers(2, 9))
def test_then_what_is_left_covers_the_others_as_the_whole_covered_all(seed, count, picks, groups):
    points, chosen = coreset_of(seed, count, picks)
    group = torch.arange(count) % groups
    radius = torch.cdist(points, points[chosen]).amin(1).max()
    found = closing(points, chosen, group, range(groups))
    for without in range(groups):
        added = found.get(without, torch.zeros(0, dtype=torch.int64))
        assert (group[added] != without).all()
        remaining = torch.cat([chosen[group[chosen] != without], added])
        others = points[group != without]
        assert torch.cdist(others, points[remaining]).amin(1).max() <= radius * (1 + 1e-4)


def test_a_group_without_a_pick_leaves_no_hole():
    points, chosen = coreset_of(0, 50, 10)
    group = torch.zeros(50, dtype=torch.int64)
    group[[at for at in range(50) if at not in chosen][:5]] = 1
    assert list(closing(points, chosen, group, [0, 1])) == [0]
    assert not closing(points, chosen, group, [])


def test_where_every_point_was_picked_no_other_closes_a_hole():
    points, chosen = coreset_of(0, 30, 30)
    assert not closing(points, chosen, torch.arange(30) % 3, [0, 1, 2])


def test_the_space_is_the_one_that_the_coreset_is_chosen_in():
    """Chosen among the compared points without projection, the picks are the same."""
    vectors = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    points = compared(vectors, 16, seed=7)
    assert points.shape == (200, 16)
    picks = greedy_coreset(vectors, 40, projection_dim=16, seed=7)
    assert torch.equal(picks, greedy_coreset(points, 40, projection_dim=None, seed=7))


def test_progress_is_told_of_each_group():
    told: list[tuple[int, int]] = []
    points, chosen = coreset_of(0, 50, 10)
    group = torch.arange(50) % 4
    closing(points, chosen, group, [0, 1, 2, 3], progress=lambda *now: told.append(now))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("elements", [1, 60])
def test_pieces_change_nothing(elements, monkeypatch):
    points, chosen = coreset_of(3, 90, 12)
    group = torch.arange(90) % 5
    whole = {one: rows.tolist() for one, rows in closing(points, chosen, group, range(5)).items()}
    monkeypatch.setattr("apc_bench.bank.holes.ELEMENTS", elements)
    assert whole == {
        one: rows.tolist() for one, rows in closing(points, chosen, group, range(5)).items()
    }
