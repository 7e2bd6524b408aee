"""What a coreset lacks without a group of its points: the patches of other groups that they stood
for (docs/method.md section 5).

Taken out, a group's picks leave holes: those of other groups nearby were left out for their sake.
An image whose own picks are taken out of the bank would be measured across these holes, as a new
image never is.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apc_bench.bank.coreset import to_nearest
from apc_bench.bank.precision import full_precision

ELEMENTS = 2**24
"""Distances that are held at once."""

ROWS = 16384
"""Points whose differences are."""


def closing(
    points: Tensor,
    chosen: Tensor,
    group: Tensor,
    without: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, Tensor]:
    """For each group of `without` that has a pick: the points (k,) int64 of other groups that
    close its hole, in the order of selection; on the points' device.

    `points` (n, d) float32 are what the coreset `chosen` (m,) int64 was chosen from, in the space
    that it was chosen in, and `group` (n,) int64 theirs. Greedily, as the coreset's picks: of the
    points whose nearest pick was the group's, the farthest from all picks that are left, again and
    again, until none is farther than any point is from the whole coreset. `progress(done, total)`
    is told of each group.
    """
    found: dict[int, Tensor] = {}
    if not len(without):
        return found
    with torch.no_grad(), full_precision(points.device):
        centres = points[chosen]
        owner = _nearest(points, centres)
        radius = _squared(points, centres, owner).max()
        group_of_pick = group[chosen]
        for done, left_out in enumerate(without, 1):
            own = group_of_pick == left_out
            if bool(own.any()):
                orphans = torch.nonzero(own[owner] & (group != left_out))[:, 0]
                found[left_out] = orphans[_cover(points[orphans], centres[~own], radius)]
            if progress is not None:
                progress(done, len(without))
    return found


def _cover(points: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Which points to add to the centres, so that none is farther from them than the radius
    (squared).
    """
    bounds = torch.full((len(points),), torch.inf, dtype=points.dtype, device=points.device)
    if len(points) and len(centres):
        bounds = to_nearest(points, centres)
    picks: list[int] = []
    while len(points) and bool(bounds.max() > radius):
        picks.append(int(bounds.argmax()))
        bounds = torch.minimum(bounds, (points - points[picks[-1]]).square().sum(1))
    return torch.tensor(picks, dtype=torch.int64, device=points.device)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The position (n,) int64 of each point's nearest centre; of near-equal ones any."""
    norms = centres.square().sum(1)
    rows = max(1, ELEMENTS // len(centres))
    found = [
        torch.addmm(norms, some, centres.T, alpha=-2).argmin(1)
        for some in torch.split(points, rows)
    ]
    return torch.cat(found)


def _squared(points: Tensor, centres: Tensor, owner: Tensor) -> Tensor:
    """Squared distances (n,) of points to their owners, by differences."""
    pairs = zip(torch.split(points, ROWS), torch.split(owner, ROWS), strict=True)
    return torch.cat([(some - centres[own]).square().sum(1) for some, own in pairs])
