"""The coreset is the plain greedy loop's, pick by pick."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.bank.coreset import greedy_coreset, projection, start_indices


def plain(points: torch.Tensor, count: int, starts: torch.Tensor) -> list[int]:
    """patchcore-inspection's approximate greedy coreset, written out: mean distance to the starts,
    then the farthest again and again.
    """
    x = points.double().numpy()
    nearest = np.stack(
        [np.sqrt(((x - x[start]) ** 2).sum(1)) for start in starts.tolist()], 1
    ).mean(1)
    picks: list[int] = []
    for _ in range(count):
        best = int(nearest.argmax())
        picks.append(best)
        nearest = np.minimum(nearest, np.sqrt(((x - x[best]) ** 2).sum(1)))
        nearest[best] = -1
    return picks


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 300),
    st.integers(1, 20),
    st.sampled_from([1, 3, 16, 512]),
    st.booleans(),
)
def test_the_picks_are_those_of_the_plain_loop(seed, total, width, block, clustered):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(total, width, generator=generator, dtype=torch.float64)
    if clustered:
        points = (
            points * 0.01
            + torch.randn(4, width, generator=generator, dtype=torch.float64)[
                torch.randint(4, (total,), generator=generator)
            ]
        )
    count = 1 + seed % total
    found = greedy_coreset(
        points, count, projection_dim=None, starting_points=5, seed=seed, block=block
    )
    assert found.tolist() == plain(points, count, start_indices(total, 5, seed=seed))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 120), st.sampled_from([2, 7, 512]))
def test_points_on_a_grid_with_ties_and_repetitions_are_picked_once_each_lowest_first(
    seed, total, block
):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(0, 3, (total, 2), generator=generator).double()
    found = greedy_coreset(
        points, total, projection_dim=None, starting_points=1, seed=seed, block=block
    )
    assert sorted(found.tolist()) == list(range(total))
    # A place is picked twice only when all are covered; the start's own place counts as covered
    # (distance 0) without being picked.
    distinct = len({tuple(point) for point in points.tolist()})
    assert len({tuple(points[pick].tolist()) for pick in found[: distinct - 1]}) == distinct - 1


def test_in_float32_the_covering_radius_is_that_of_the_plain_loop():
    points = torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))
    found = greedy_coreset(points, 300, projection_dim=None, starting_points=10, seed=0)
    expected = plain(points, 300, start_indices(3000, 10, seed=0))

    def radius(picks: list[int]) -> float:
        return float(torch.cdist(points.double(), points[picks].double()).amin(1).max())

    assert radius(found.tolist()) == pytest.approx(radius(expected), rel=1e-5)
    assert len(set(found.tolist())) == 300


def test_the_projection_keeps_distances_on_average_and_is_left_out_where_it_would_not_shrink():
    points = torch.randn(200, 512, generator=torch.Generator().manual_seed(0))
    projected = projection(points, 128, seed=1)
    assert projected.shape == (200, 128)
    assert float((torch.pdist(projected) / torch.pdist(points)).mean()) == pytest.approx(
        1, abs=0.02
    )
    assert torch.equal(projection(points, 512, seed=1), points)
    assert not torch.equal(projection(points, 128, seed=2), projected)


def test_more_picks_than_points_are_all_points():
    points = torch.randn(5, 3)
    assert sorted(greedy_coreset(points, 9, seed=0).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("points", [torch.zeros(0, 3), torch.full((4, 3), torch.nan)])
def test_nothing_and_what_is_not_finite_are_refused(points):
    with pytest.raises(ValueError, match=r"at least one pick|not finite"):
        greedy_coreset(points, 2, seed=0)
