"""What a coreset lacks without a group of its points: the points of other groups that its picks
stood for (docs/method.md section 5).

Taken out, a group's picks leave holes: points of other groups nearby were left out for their sake.
An image whose own picks are taken out of the bank would be measured across these holes, as a new
image never is.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apc_bench.bank.precision import full_precision

ELEMENTS = 2**24
"""Distances that are held at once."""


def closing(
    points: Tensor,
    chosen: Tensor,
    group: Tensor,
    without: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, Tensor]:
    """For each group of `without` whose picks leave a hole: the points (k,) int64 of other groups
    that close it, in the order of selection; on the points' device.

    `points` (n, d) float32 are what the coreset `chosen` (m,) int64 was chosen from, in the space
    that it was chosen in, and `group` (n,) int64 theirs. Greedily, as the coreset's picks: of the
    points whose nearest pick was the group's, the farthest from all picks that are left, again and
    again, until none is farther than any point is from the whole coreset. `progress(done, total)`
    is told of each group.
    """
    found: dict[int, Tensor] = {}
    if not without:
        return found
    with torch.no_grad(), full_precision(points.device):
        owner, reached, radius = _reached(points, points[chosen], group[chosen])
        bare = torch.nonzero((reached > radius) & (owner != group))[:, 0]
        for done, left_out in enumerate(without, 1):
            orphans = bare[owner[bare] == left_out]
            if len(orphans):
                found[left_out] = orphans[_cover(points[orphans], reached[orphans], radius)]
            if progress is not None:
                progress(done, len(without))
    return found


def _reached(points: Tensor, picks: Tensor, group: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each point the group of the nearest pick (n,), and the squared distance (n,) to the
    nearest pick of another group than that, infinite without one; and the largest to the nearest
    pick. `group` (m,): the picks'.
    """
    norms = picks.square().sum(1)
    owner, reached, radius = [], [], points.new_zeros(())
    for some in torch.split(points, max(1, ELEMENTS // len(picks))):
        distance = torch.addmm(norms, some, picks.T, alpha=-2)
        nearest = distance.argmin(1)
        owned = group[nearest]
        beside = distance.masked_fill_(group == owned[:, None], torch.inf).argmin(1)
        # By differences: products lose digits where points are near.
        squared = (some - picks[beside]).square().sum(1)
        reached.append(squared.masked_fill_(group[beside] == owned, torch.inf))
        owner.append(owned)
        radius = torch.maximum(radius, (some - picks[nearest]).square().sum(1).max())
    return torch.cat(owner), torch.cat(reached), radius


def _cover(points: Tensor, bounds: Tensor, radius: Tensor) -> Tensor:
    """Which points to pick, so that none is farther from the picks than the radius; `bounds` (n,):
    how far each is from picks that there are, all farther than that. Squared distances.
    """
    left = torch.arange(len(points), device=points.device)
    picks = []
    while len(left):
        pick = bounds.argmax()
        picks.append(left[pick])
        bounds = torch.minimum(bounds, (points - points[pick]).square().sum(1))
        far = bounds > radius
        points, bounds, left = points[far], bounds[far], left[far]
    return torch.stack(picks)
