"""Do the defect photos help? The answer of a cross-fitted run: what each system finds of all
defects, and what to photograph next.

Every defect was tested on models that never saw it. A threshold is set for each model on normal
images alone (docs/method.md section 5), and ranks are taken among the normal test images of the
same model before they are pooled, for models' scores have no common scale.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from apc_bench.errors import DamagedFile, listed
from apc_bench.results.aggregate import TEST, Results, System
from apc_bench.results.run_reader import RunReader
from apc_bench.statistics.differences import mean
from apc_bench.statistics.proportions import paired_interval, sign_test, wilson
from apc_bench.tables import footnotes as about
from apc_bench.tables.cells import interval_cell, label_cell, number_cell, points_cell, text_column
from apc_bench.tables.number_format import points, points_interval
from apc_bench.tables.table import Cell, Column, Note, Row, Table

CHANCE = 0.05
NAMED = 5
"""Photos and defect types that are named at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One anomalous image: the share of tries that called it anomalous (None: no threshold), and
    its mean rank among normal test images.
    """

    image: str
    group: str
    defect_type: str
    found: float | None
    rank: float


@dataclass(frozen=True, eq=False)
class Detections:
    """What a system made of a category's anomalous images. `false_alarms`: share of the normal test
    images; `undefined`: why there is no threshold.
    """

    system: System
    photos: Sequence[Photo]
    false_alarms: float | None
    undefined: str | None

    @cached_property
    def by_group(self) -> Mapping[str, float]:
        """Defect -> share of tries that found it, mean over its photos."""
        groups: dict[str, list[float]] = {}
        for photo in self.photos:
            if photo.found is not None:
                groups.setdefault(photo.group, []).append(photo.found)
        return {group: mean(found) for group, found in sorted(groups.items())}

    @property
    def share(self) -> float:
        """Of the defects, those found."""
        return mean(list(self.by_group.values()))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitSummary:
    """One category's answer: the baseline first."""

    category: str
    shots: int
    finds: Sequence[Detections]
    allowed: float

    @property
    def defects(self) -> int:
        return len({photo.group for photo in self.finds[0].photos})


def crossfit_summaries(results: Results, run: RunReader) -> list[CrossFitSummary]:
    """The answer for each category where every trial is done and can be read; none of a run that
    was not cross-fitted or has no frozen baseline.
    """
    if not results.folded or results.baseline is None or not results.shots:
        return []
    systems = [
        results.baseline,
        *(system for system in results.at_most_shots() if system != results.baseline),
    ]
    systems = [system for system in systems if not results.missing(system)]
    if len(systems) < 2 or systems[0] != results.baseline:
        return []
    found = []
    for category in results.categories:
        try:
            finds = [_finds(results, run, system, category) for system in systems]
        except DamagedFile:
            continue  # which the page names
        found.append(
            CrossFitSummary(
                category, max(results.shots), finds, float(results.settings["false_alarms"])
            )
        )
    return found


def _finds(results: Results, run: RunReader, system: System, category: str) -> Detections:
    tries: list[pl.DataFrame] = []
    alarms: list[float] = []
    undefined = None
    for seed in system.seeds:
        trial = results.trials[system, category, seed]
        assert trial.result_key is not None
        scores = run.scores(trial.result_key).filter(pl.col("split") == TEST)
        normal = np.sort(scores.filter(~pl.col("label"))["score"].to_numpy())
        bad = scores.filter("label")
        values = bad["score"].to_numpy()
        ranks = (np.searchsorted(normal, values) + np.searchsorted(normal, values, "right")) / (
            2 * len(normal)
        )
        threshold = trial.rows[TEST]["threshold"]
        if threshold is None:
            undefined = dict(trial.rows[TEST]["undefined"]).get("threshold", "no threshold")
        else:
            alarms.append(float((normal > threshold).mean()))
        found = pl.Series(
            "found",
            [None if threshold is None else float(value > threshold) for value in values],
            pl.Float64,
        )
        tries.append(
            bad.select("image", "group", "defect_type").with_columns(
                found, pl.Series("rank", ranks, pl.Float64)
            )
        )
    of_a_photo = (
        pl.concat(tries)
        .group_by("image", "group", "defect_type")
        .agg(pl.mean("found", "rank"))
        .sort("image")
    )
    return Detections(
        system,
        [Photo(*row) for row in of_a_photo.iter_rows()],
        mean(alarms) if alarms and not undefined else None,
        undefined,
    )


def sentences(answer: CrossFitSummary) -> list[str]:
    """What the engineer asked for, in words: what is found, whether the difference is beyond
    chance, what to photograph next.
    """
    baseline, *others = answer.finds
    photos = len(baseline.photos)
    start = (
        f"{answer.category}: with your {photos} defect photos ({answer.shots} at a time to learn"
        " from)"
    )
    if undefined := next((finds.undefined for finds in answer.finds if finds.undefined), None):
        ranked = ", ".join(
            f"{finds.system.title} {100 * _auroc(finds):.0f} %" for finds in answer.finds
        )
        return [
            f"{start} there is no threshold: {undefined}. Add normal photos. Pooled image AUROC:"
            f" {ranked}."
        ]
    known = f"at {100 * answer.allowed:g} % false alarms"
    lines = []
    for finds in others:
        text = (
            f"{start} {finds.system.title} finds {_of_100(finds, ' of 100 defects')} {known},"
            f" {baseline.system.title} {_of_100(baseline)}; "
        )
        lines.append(text + _difference(finds, baseline))
    reached = ", ".join(
        f"{finds.system.title} {100 * (finds.false_alarms or 0):.0f} %" for finds in answer.finds
    )
    lines.append(f"False alarms on the normal photos that were set apart: {reached}.")
    if few := _too_few(answer.defects):
        lines.append(few)
    lines += _next(max((*others, baseline), key=lambda finds: finds.share))
    return lines


def _of_100(finds: Detections, what: str = "") -> str:
    low, high = wilson(finds.share, len(finds.by_group))
    return f"{100 * finds.share:.0f}{what} (95 % interval {100 * low:.0f} to {100 * high:.0f})"


def _gains(finds: Detections, baseline: Detections) -> list[float]:
    return [finds.by_group[group] - baseline.by_group[group] for group in baseline.by_group]


def _difference(finds: Detections, baseline: Detections) -> str:
    gains = _gains(finds, baseline)
    (low, high), p = paired_interval(gains), sign_test(gains)
    beyond = "is beyond chance" if p < CHANCE else "is not beyond chance"
    interval = f"95 % interval {points_interval(low, high, 0)}"
    return f"the difference, {points(mean(gains), 0)} ({interval}), {beyond} (p = {p:.2g})."


def _too_few(defects: int) -> str | None:
    """With n pairs the smallest two-sided p of a sign test is 2^(1 − n)."""
    needed = math.ceil(1 - math.log2(CHANCE))
    if defects >= needed:
        return None
    return (
        f"{defects} defects cannot show any difference beyond chance; {needed} can, where all of"
        " them tell for one side."
    )


def _next(finds: Detections) -> list[str]:
    """The defect types that are missed most, or the photos where there is one type."""
    missed: dict[str, list[float]] = {}
    for photo in finds.photos:
        missed.setdefault(photo.defect_type, []).append(1 - (photo.found or 0))
    worst = sorted(
        (kind for kind, shares in missed.items() if sum(shares) > 0),
        key=lambda kind: (-mean(missed[kind]), kind),
    )
    if not worst:
        return [
            f"{finds.system.title} misses none of them: photograph harder defects, and other types,"
            " to learn more."
        ]
    hardest = [
        photo.image
        for photo in sorted(finds.photos, key=lambda photo: (photo.found or 0, photo.rank))
        if (photo.found or 0) < 1
    ]
    lines = []
    if len(missed) > 1:
        kinds = listed(
            (
                f"{kind} ({100 * mean(missed[kind]):.0f} % of {len(missed[kind])} missed)"
                for kind in worst
            ),
            NAMED,
        )
        lines.append(f"Photograph next, by what {finds.system.title} misses most: {kinds}.")
    lines.append(f"Hardest photos, of which more are needed: {listed(hardest, NAMED)}.")
    return lines


def _auroc(finds: Detections) -> float:
    return mean([photo.rank for photo in finds.photos])


def crossfit_table(results: Results, found: Sequence[CrossFitSummary]) -> Table | None:
    """A row a category and system; None where there is no answer."""
    if not found:
        return None
    columns = (
        text_column("Category"),
        text_column("System"),
        Column("Found of 100 defects", ("found_percent",)),
        Column("95 % interval", ("found_low_percent", "found_high_percent")),
        Column("False alarms", ("false_alarms_percent",)),
        Column("Difference", ("difference_points",)),
        Column("95 % interval ", ("difference_low_points", "difference_high_points")),
        Column("p", ("p",)),
        Column("AUROC_im, pooled", ("pooled_auroc_percent",)),
    )
    rows = [row for answer in found for row in _rows(answer)]
    photos = ", ".join(
        f"{answer.category} {len(answer.finds[0].photos)} photos of {answer.defects} defects"
        for answer in found
    )
    notes = (
        Note(
            "Found",
            "of all defects, each tested on models that saw none of its photos, those above the"
            " calibrated threshold; interval: Wilson",
        ),
        Note(
            "Difference",
            "to the baseline, in points, paired by defect; interval: Bonett and Price; p: exact"
            " under random signs, up to 13 pairs that differ",
        ),
        Note(
            "Pooled",
            "each photo's rank among the normal test images under the model that scored it, mean"
            " over photos",
        ),
        Note("Defects", photos),
    )
    topics = (about.data, about.test_set, about.image_input)
    return Table(
        "answer",
        "Do the defect photos help?",
        columns,
        tuple(rows),
        (*notes, *about.notes(results, topics)),
    )


def _rows(answer: CrossFitSummary) -> list[Row]:
    baseline = answer.finds[0]
    undefined = any(finds.undefined for finds in answer.finds)
    rows = []
    for finds in answer.finds:
        share = _NONE if undefined else _share_cells(finds)
        difference = (
            _NONE if undefined or finds is baseline else _difference_cells(_gains(finds, baseline))
        )
        auroc = number_cell(100 * _auroc(finds), 2)
        rows.append(
            Row(
                (
                    label_cell(answer.category),
                    label_cell(finds.system.label),
                    *share,
                    *difference,
                    auroc,
                ),
                answer.category,
            )
        )
    return rows


_NONE = (Cell("–", (None,)), Cell("–", (None, None)), Cell("–", (None,)))


def _share_cells(finds: Detections) -> tuple[Cell, Cell, Cell]:
    low, high = (100 * end for end in wilson(finds.share, len(finds.by_group)))
    share, alarms = 100 * finds.share, 100 * (finds.false_alarms or 0)
    return (
        Cell(f"{share:.0f}", (share,)),
        Cell(f"{low:.0f} to {high:.0f}", (low, high)),
        Cell(f"{alarms:.1f}", (alarms,)),
    )


def _difference_cells(gains: Sequence[float]) -> tuple[Cell, Cell, Cell]:
    (low, high), p = paired_interval(gains), sign_test(gains)
    return points_cell(mean(gains), 0), interval_cell(low, high, 0), Cell(f"{p:.2g}", (p,))
