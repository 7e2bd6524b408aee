"""What each system finds of a category's defects, paired defect by defect with the baseline: what a
page opens with.

Under cross-fitting every defect is tested once in each assignment of folds, on
models that never saw it; under hold-out in each seed whose reserve it is not in.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from apc_bench.results.aggregate import TEST, Results, System, Trial
from apc_bench.results.causes import Evidence, evidence
from apc_bench.results.changes import Change
from apc_bench.results.detections import (
    COLUMNS,
    ByDefect,
    Detections,
    detections_of,
    thresholds_of,
)
from apc_bench.results.far_apart import FarApart, far_apart
from apc_bench.results.run_reader import RunReader
from apc_bench.settings.detectors import CLASSIFIER_OFF

TRIALS_MAX = 400
SEEDS_MIN = 5
"""Trials whose scores are read for an answer, and seeds of which it reads them in any case: those
of ten thousand trials would take longer than all the rest of a report.
"""


@dataclass(frozen=True, eq=False)
class Answer:
    """One category's detections, in the order of the job but the baseline's first, where there is
    one (`paired`). `shots`: the largest number; `allowed`: the false-alarm rate that thresholds
    were set for; `seeds`: those it rests on; `evidence`: why a system finds less or more than the
    baseline, of those that do; `unlearned`: systems that had nothing to learn from the defects;
    `far_apart`: the photos that set a threshold by themselves, of those systems where it is so.
    """

    category: str
    shots: int
    detections: Sequence[Detections]
    allowed: float
    seeds: Sequence[int] = (0,)
    paired: bool = True
    evidence: Mapping[System, Evidence] = field(default_factory=dict)
    unlearned: Collection[System] = ()
    far_apart: Mapping[System, FarApart] = field(default_factory=dict)

    @property
    def baseline(self) -> Detections | None:
        """The system that the others are compared with."""
        return self.detections[0] if self.paired else None

    @property
    def others(self) -> Sequence[Detections]:
        """Every system but the baseline."""
        return self.detections[1:] if self.paired else self.detections

    @property
    def defects(self) -> int:
        """How many groups of photos there are."""
        return len({photo.group for photo in self.detections[0].photos})

    @property
    def types(self) -> Sequence[str]:
        """The defect types of its photos."""
        return sorted({photo.defect_type for photo in self.detections[0].photos})

    @property
    def undefined(self) -> Mapping[str, Sequence[str]]:
        """Why some systems have no threshold, so that nothing can be said of shares found -> their
        titles.
        """
        reasons: dict[str, list[str]] = defaultdict(list)
        for found in self.detections:
            if found.undefined:
                reasons[found.undefined].append(found.system.title)
        return reasons

    def shares(self, of: Detections) -> ByDefect:
        """What is compared: of each defect the share of tries that found it, or its rank where a
        system has no threshold.
        """
        return of.ranks if self.undefined else of.found

    def change(self, of: Detections) -> Change:
        """From the baseline to a system."""
        return Change.between(self.shares(of), self.shares(self.detections[0]))

    def ranked(self, of: Detections) -> Change:
        """The same in ranks among normal images, whatever the threshold."""
        return Change.between(of.ranks, self.detections[0].ranks)

    def by_type(self, of: Detections) -> Mapping[str, Change]:
        """The same of each defect type."""
        before = self.detections[0]
        return {
            kind: Change.between(self.shares(of.of_type(kind)), self.shares(before.of_type(kind)))
            for kind in self.types
        }


def answers(results: Results, run: RunReader) -> list[Answer]:
    """The answer of each category that can be read: of the baseline and, at their largest number of
    shots, the others, over the seeds that all of them have done. Of a cross-fitted run where every
    fold is done.
    """
    if results.folded and any(results.missing(system) for system in _systems(results)[:1]):
        return []
    found = [_answer(results, run, category) for category in results.categories]
    return [answer for answer in found if answer]


def _systems(results: Results) -> list[System]:
    """The baseline, and the others at their largest number of shots."""
    baseline = results.baseline
    first = [baseline] if baseline else []
    return [*first, *(system for system in results.at_most_shots() if system != baseline)]


def _answer(results: Results, run: RunReader, category: str) -> Answer | None:
    systems, seeds = _compared(results, category)
    trials = {
        system: [results.trials[system, category, seed] for seed in seeds] for system in systems
    }
    keys = [trial.result_key for tried in trials.values() for trial in tried if trial.result_key]
    scores = run.scores_of(keys, COLUMNS)
    if not keys or len(scores) < len(keys):  # what is damaged the page names
        return None
    detections = [detections_of(system, tried, scores) for system, tried in trials.items()]
    if not all(found.photos for found in detections):
        return None
    allowed = float(results.settings.get("false_alarms", 0.05))
    shots = max((system.shots for system in systems), default=0)
    paired = results.baseline in systems
    answer = Answer(category, shots, detections, allowed, seeds, paired)
    return replace(
        answer,
        evidence=_evidence(answer, trials, scores) if paired else {},
        unlearned=[one for one in systems if _learned_nothing(results, one, trials[one])],
        far_apart=_far_apart(trials, scores, allowed),
    )


Trials = Mapping[System, Sequence[Trial]]
"""A category's trials, a system's in the order of seeds."""


def _evidence(
    answer: Answer, trials: Trials, scores: Mapping[str, pl.DataFrame]
) -> dict[System, Evidence]:
    """Of the systems that differ from the baseline, beyond chance or on its edge."""

    def tables(system: System) -> list[pl.DataFrame]:
        return [scores[trial.result_key or ""] for trial in trials[system]]

    first = tables(answer.detections[0].system)
    found = {}
    for one in answer.others:
        change = answer.change(one)
        if change.beyond_chance or change.on_the_edge:
            threshold = not answer.undefined
            own = tables(one.system)
            found[one.system] = evidence(own, first, answer.allowed, threshold=threshold)
    return found


def _far_apart(
    trials: Trials, scores: Mapping[str, pl.DataFrame], allowed: float
) -> dict[System, FarApart]:
    found = {}
    for system, tried in trials.items():
        tables = [scores[trial.result_key or ""] for trial in tried]
        if far := far_apart(system, tables, thresholds_of(tried), allowed):
            found[system] = far
    return found


def _learned_nothing(results: Results, system: System, trials: Sequence[Trial]) -> bool:
    """Whether it is APC+ whose classifier found no masks and whose network is not fine-tuned."""
    if system.detector != "apc+" or not trials:
        return False
    settings = results.settings["methods"].get(system.method, {}).get("settings") or {}
    tunes = settings.get("weight_interpolation") or settings.get("segmentation")
    notes = [trial.rows[TEST]["notes"] or () for trial in trials]
    return not tunes and all(CLASSIFIER_OFF in own for own in notes)


def _compared(results: Results, category: str) -> tuple[list[System], list[int]]:
    """The systems that have a trial of the category (under cross-fitting: all of them), and the
    seeds that each of them has done.
    """

    def done(system: System) -> set[int]:
        trials = {seed: results.trials[system, category, seed] for seed in system.seeds}
        return {seed for seed, trial in trials.items() if trial.missing is None}

    whole = {system: done(system) for system in _systems(results)}
    if results.folded:
        whole = {system: seeds for system, seeds in whole.items() if not results.missing(system)}
    known = {system: seeds for system, seeds in whole.items() if seeds}
    shared = sorted(set.intersection(*known.values())) if known else []
    if not results.folded:
        trials = len(known) * len(results.categories)
        shared = shared[: max(SEEDS_MIN, TRIALS_MAX // max(1, trials))]
    return list(known), shared
