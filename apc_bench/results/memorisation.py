"""Whether a fine-tuned system has memorised the anomalous images that it was trained on: their
scores beside those of anomalies that it never saw (docs/method.md section 5).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.metrics.exact import Ranking
from apc_bench.results.aggregate import TEST, Results, System
from apc_bench.results.run_reader import RunReader

DRAWN, UNSEEN, NORMAL, HELD_OUT = "drawn", "unseen", "normal", "held_out"

_SPLIT = pl.col("split")
GROUPS = {
    DRAWN: _SPLIT == "drawn",
    UNSEEN: (_SPLIT == TEST) & pl.col("label"),
    NORMAL: (_SPLIT == TEST) & ~pl.col("label"),
    HELD_OUT: _SPLIT == "calibration",
}
"""Group -> its rows of a trial's scores (store/schemas.py). The anomalous images that were set
apart but not drawn at the trial's number of shots are in none: they are not tested either.

A cross-fitted trial has the same groups: it drew from the other folds and is tested on its own.
"""

Scores = NDArray[np.float64]
ByGroup = Mapping[str, Scores]


@dataclass(frozen=True, slots=True, eq=False)
class TrialScores:
    """A trial's image scores by group, as the detector gave them; none of DRAWN and UNSEEN is
    empty.
    """

    by_group: ByGroup

    @property
    def auroc(self) -> float:
        """Of drawn against unseen anomalies, from 0 to 1, ties half: 0.5 where they score alike, 1
        where every drawn image scores above every unseen one.
        """
        ranking = Ranking(np.sort(self.by_group[DRAWN]), np.sort(self.by_group[UNSEEN]))
        value = ranking.auroc().value
        assert value is not None
        return value

    def scaled(self) -> ByGroup | None:
        """Scores less the median of the normal test images, in interquartile ranges of theirs, so
        that trials can be joined, whatever the unit, logits too. None where the range is zero.
        """
        if not len(self.by_group[NORMAL]):
            return None
        low, middle, high = np.percentile(self.by_group[NORMAL], (25, 50, 75))
        if high == low:
            return None
        return {name: (scores - middle) / (high - low) for name, scores in self.by_group.items()}


@dataclass(frozen=True, eq=False)
class Memorisation:
    """A fine-tuned system's trials: (category, seed) -> scores."""

    system: System
    trials: Mapping[tuple[str, int], TrialScores]

    @cached_property
    def aurocs(self) -> Mapping[str, Mapping[int, float]]:
        """Category -> seed -> AUROC of drawn against unseen anomalies."""
        values: dict[str, dict[int, float]] = {category: {} for category, _ in self.trials}
        for (category, seed), trial in self.trials.items():
            values[category][seed] = trial.auroc
        return values

    @cached_property
    def scaled(self) -> list[ByGroup]:
        """The scaled scores of each trial that has any."""
        scaled = [trial.scaled() for trial in self.trials.values()]
        return [by_group for by_group in scaled if by_group is not None]

    def median(self, group: str) -> float | None:
        """The median over trials of the group's median, scaled; None where nothing can be
        scaled.
        """
        medians = [np.median(trial[group]) for trial in self.scaled if len(trial[group])]
        return float(np.median(medians)) if medians else None

    def joined(self, group: str) -> Scores:
        """The scaled scores of the group in all trials, (n,)."""
        return np.concatenate([trial[group] for trial in self.scaled] or [np.zeros(0)])


def memorisations(results: Results, run: RunReader) -> list[Memorisation]:
    """Of each fine-tuned system with a trial whose drawn images were scored and can be read, which
    the page says of the others; a method that was run elsewhere has no such trial.
    """
    places = [
        (system, category, seed)
        for system in results.systems
        if not system.frozen
        for category in results.categories
        for seed in system.seeds
    ]
    keys = {place: results.trials[place].result_key for place in places}
    scores = _by_group(run, [key for key in keys.values() if key])
    found: dict[System, dict[tuple[str, int], TrialScores]] = defaultdict(dict)
    for (system, category, seed), key in keys.items():
        by_group = scores.get(key or "")
        if by_group and len(by_group[DRAWN]) and len(by_group[UNSEEN]):
            found[system][category, seed] = TrialScores(by_group)
    return [Memorisation(system, trials) for system, trials in found.items()]


def _by_group(run: RunReader, result_keys: Sequence[str]) -> dict[str, ByGroup]:
    """The scores of each trial that can be read. Groups are found in all trials at once: there may
    be thousands.
    """
    tables = run.scores_of(result_keys, ("split", "label", "score"))
    if not tables:
        return {}
    rows = pl.concat(tables.values())
    ends = np.cumsum([len(table) for table in tables.values()])[:-1]
    scores = np.split(rows["score"].to_numpy().astype(np.float64), ends)
    found: dict[str, dict[str, Scores]] = {key: {} for key in tables}
    for name, group in GROUPS.items():
        chosen = np.split(rows.select(group).to_series().to_numpy(), ends)
        for key, of_trial, ours in zip(tables, scores, chosen, strict=True):
            found[key][name] = of_trial[ours]
    return dict(found)
