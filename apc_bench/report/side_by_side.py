"""Which systems stand side by side in the page, and which images a trial shows: its hardest ones,
and those on which the two disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from apc_bench.report.selection import Judged, OneSided, Pick, hardest, one_sided
from apc_bench.results.aggregate import TEST, Results, System, Trial


def beside(results: Results, system: System) -> list[System]:
    """Whose maps stand side by side: the baseline's and the system's own; beside the baseline, the
    first fine-tuned one's at most shots.
    """
    baseline = results.baseline
    if baseline is None:
        return [system]
    if system != baseline:
        return [baseline, system]
    tuned = [other for other in results.at_most_shots() if not other.frozen]
    return [baseline, *tuned[:1]]


@dataclass(frozen=True, slots=True)
class PickedImages:
    """The images that a trial shows: its hardest ones, and those on which it and the system beside
    it disagree, the fine-tuned one's first.
    """

    hardest: Sequence[Pick]
    sides: Sequence[OneSided]

    @property
    def all(self) -> list[Pick]:
        """Of both kinds."""
        return [*self.hardest, *(pick for side in self.sides for pick in side.picks)]


def pick_images(
    results: Results,
    system: System,
    trials: Mapping[System, Trial],
    scores: Mapping[str, pl.DataFrame],
) -> PickedImages:
    """Of a trial whose scores can be read."""
    judged = {}
    for one in (system, *beside(results, system)):
        table = scores.get(trials[one].result_key or "") if one in trials else None
        if table is not None:
            judged[one] = Judged(one.label, table, trials[one].rows[TEST]["threshold"])
    own = judged[system]
    sides: list[OneSided] = []
    if len(judged) == 2:
        first, second = sorted(judged, key=lambda one: one == results.baseline)
        sides = [one_sided(judged[first], judged[second]), one_sided(judged[second], judged[first])]
    return PickedImages(hardest(own.scores, threshold=own.threshold), sides)
