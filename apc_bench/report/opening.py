"""Which trial the page's pictures open with: one that shows what the answer says."""

import math
from collections.abc import Collection, Sequence

from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.tables.answer import told


def opening_trial(
    results: Results, answers: Sequence[Answer], seeds: Collection[int]
) -> tuple[int, int, int] | None:
    """(position of the category, position of the system, seed) of the largest change that is beyond
    chance, or else the first one, in the seed of those with pictures whose own change is of its
    sign and nearest to it; None without a comparison.
    """
    compared = [(answer, found) for answer in answers if answer.paired for found in told(answer)]
    if not compared:
        return None
    changes = {pair: pair[0].change(pair[1]) for pair in compared}
    clear = [pair for pair in compared if changes[pair].beyond_chance]
    first = max(clear, key=lambda pair: abs(changes[pair].mean), default=compared[0])
    answer, found = first
    metric, sign = ("image_auroc", 1) if answer.undefined else ("missed_rate", -1)
    baseline = answer.detections[0].system

    def distance(seed: int) -> tuple[bool, float]:
        ours = results.by_seed(found.system, answer.category, metric).get(seed)
        theirs = results.by_seed(baseline, answer.category, metric).get(seed)
        if ours is None or theirs is None:
            return True, math.inf
        gain, whole = sign * (ours - theirs), changes[first].mean
        return gain * whole <= 0, abs(gain - whole)

    shown = [seed for seed in answer.seeds if seed in seeds]
    if not shown:
        return None
    place = results.categories.index(answer.category), results.systems.index(found.system)
    return (*place, min(shown, key=distance))
