"""What closes the hole that a group leaves in a coreset (docs/method.md section 5), point by
point.
"""

import torch
from torch import Tensor


def plainly(points: Tensor, chosen: Tensor, group: Tensor, without: int) -> list[int]:
    """Point by point, in float64."""
    points = points.double()
    own = [int(pick) for pick in chosen if group[pick] == without]
    left = [int(pick) for pick in chosen if group[pick] != without]
    to_pick = torch.cdist(points, points[chosen])
    radius = to_pick.amin(1).max()
    owner = chosen[to_pick.argmin(1)]
    orphans = [at for at in range(len(points)) if int(owner[at]) in own and group[at] != without]
    added: list[int] = []
    while orphans:
        there = torch.cdist(points[orphans], points[left + added]).amin(1)
        if there.max() <= radius:
            break
        added.append(orphans[int(there.argmax())])
    return added
