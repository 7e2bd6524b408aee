"""One trial of an external method: its maps and scores of a split as the tables that our own trials
write (runner/tabulate.py).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.split import Split
from apc_bench.detectors.protocol import Images, Scored, Timings
from apc_bench.external.maps import AnomalyMaps, read_maps
from apc_bench.external.scores import ImageScores
from apc_bench.files.hashing import digest
from apc_bench.plan import TRIAL, Planned, Step, place
from apc_bench.runner.tabulate import Costs, Measured, images_of, tabulate
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.sweep import Method, Sweep
from apc_bench.store.trials import TrialResult

DETECTOR = "foreign"
"""What run folders call the detector of an external method."""

MAX_OF_MAP = "image score: the largest value of the map, for no scores were given"
AS_GIVEN = (
    "maps and scores made elsewhere; that the method learned from no test image is its author's"
    " word"
)
ONE_SET = (
    "one set of maps for all seeds: what differs between them is the draw of the reserve alone"
)
NO_TIMINGS = Timings()
UNKNOWN = -1
"""The worst patch of a calibration image, of which there is a score alone."""


@dataclass(frozen=True, slots=True, eq=False)
class PrecomputedMaps:
    """What `tabulate` asks of a fitted detector: the maps are in the method's own unit and are not
    smoothed again.
    """

    unit: str = "the method's own"
    sigma: float = 0.0
    bank: None = None
    timings: Timings = NO_TIMINGS
    notes: tuple[str, ...] = ()

    def score(self, images: Images) -> Scored:
        """Never called: the method is not run here."""
        raise NotImplementedError("an external method is not run here")

    def calibrate(self) -> tuple[Images, Scored]:
        """Never called: the method is not run here."""
        raise NotImplementedError("an external method is not run here")


@dataclass(frozen=True, slots=True, eq=False)
class ExternalMethod:
    """The method: its name, title and shots, the settings of split, input and metrics, what
    computes the metrics, and whether seeds share their maps.
    """

    name: str
    title: str | None
    shots: int
    sweep: Sweep
    environment: Mapping[str, str]
    one_set: bool

    @property
    def geometry(self) -> Geometry:
        """How images, and maps of their size, are brought to the input."""
        return Geometry.of(self.sweep)

    def rows(self, split: Split) -> list[int]:
        """The images whose maps are needed: the test set, and of a method that saw no anomalous
        image the reserve too, as a frozen detector's.
        """
        if self.shots:
            return split.where("test")
        return sorted([*split.where("test"), *split.where("reserved")])

    @property
    def method(self) -> Method:
        """As a method of the plan; it is none of ours, so its names are not checked. Its settings
        say only whether it was trained on drawn images.
        """
        settings = DETECTORS["apc" if self.shots else "patchcore"]()
        return Method.model_construct(
            detector=DETECTOR,
            backbone="unknown",
            weights=None,
            title=self.title or self.name,
            settings=settings,
        )

    def step(self, planned: Planned, seed: int, content: str) -> Step:
        """Its trial in the plan. `content`: a digest of maps and scores."""
        sweep, dataset = self.sweep, self.sweep.dataset or ""
        identity = {
            **place(sweep, dataset, planned.category.name, self.shots, seed),
            "false_alarms": sweep.false_alarms,
            "method": self.name,
            "detector": DETECTOR,
        }
        computed = {
            "fingerprint": planned.fingerprint,
            "content": content,
            "environment": dict(self.environment),
        }
        return Step(
            kind=TRIAL,
            trial_id=digest(identity),
            result_key=digest({"kind": TRIAL, **identity, **computed}),
            dataset=dataset,
            category=planned.category.name,
            method=self.name,
            shots=self.shots,
            seed=seed,
            needs=None,
            settings=self.method,
            macs=0.0,
        )

    def notes(self, scores: ImageScores | None) -> tuple[str, ...]:
        """What a reader of its results must know."""
        notes = [AS_GIVEN]
        if scores is None:
            notes.append(MAX_OF_MAP)
        if self.one_set:
            notes.append(ONE_SET)
        return tuple(notes)


@dataclass(frozen=True, slots=True, eq=False)
class MappedSplit:
    """A split of a category, its decoded images, and the folder of the category's maps."""

    planned: Planned
    split: Split
    decoded: Decoded
    folder: Path


def external_trial(
    method: ExternalMethod, mapped: MappedSplit, scores: ImageScores | None
) -> tuple[Step, TrialResult]:
    """The method's trial on a split and its tables; without scores the largest value of a map is
    its image's score. Raises DataError as `read_maps` does.
    """
    started = time.perf_counter()
    split, decoded, category = mapped.split, mapped.decoded, mapped.planned.category.name
    tested = images_of(split, decoded, method.rows(split))
    sizes = [(int(height), int(width)) for height, width in decoded.placement[tested.rows, :2]]
    maps, values, content = read_maps(mapped.folder, tested.names, sizes, method.geometry)
    known: dict[str, float] = {}
    if scores is not None:
        values = [scores.test[category, name] for name in tested.names]
        known = scores.calibration_of(category)
    training = images_of(split, decoded, split.where("train"))
    positions = [position for position, name in enumerate(training.names) if name in known]
    calibration = training.at(positions)
    step = method.step(mapped.planned, split.seed, digest([content, values, sorted(known.items())]))
    measured = Measured(
        step=step,
        sweep=method.sweep,
        split=split,
        decoded=decoded,
        fitted=PrecomputedMaps(),
        tested=tested,
        scored=_scored(maps, values),
        calibration_images=calibration,
        calibration=_scored(maps[:0], [known[name] for name in calibration.names]),
        training=training,
        notes=method.notes(scores),
        environment=method.environment,
        costs=Costs(started),
        half=False,
    )
    result = tabulate(measured)
    return step, replace(result, metrics=_without_cost(result.metrics))


def _scored(maps: AnomalyMaps, values: list[float]) -> Scored:
    """Scores with the place of the largest value of each map; UNKNOWN where there is no map."""
    worst = np.full((len(values), 2), UNKNOWN, np.int64)
    for row, values_of_map in enumerate(maps):
        worst[row] = np.unravel_index(int(values_of_map.argmax()), values_of_map.shape)
    return Scored(maps, np.array(values, np.float32), worst)


def _without_cost(metrics: pa.Table) -> pa.Table:
    """What the method itself took is not known, and what its evaluation took would be mistaken for
    it.
    """
    for index, column in enumerate(metrics.schema):
        if column.name.startswith("seconds_") or column.name == "training_images":
            metrics = metrics.set_column(index, column, pa.nulls(len(metrics), column.type))
    return metrics
