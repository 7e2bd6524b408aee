"""One trial of a foreign method: its maps and scores of a split as the tables that our own trials
write (trial.py).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from apc_bench.datasets.images import Decoded, Geometry
from apc_bench.datasets.split import Split
from apc_bench.detectors.protocol import Images, Scored, Timings
from apc_bench.external.maps import Scores, read_maps
from apc_bench.hashing import digest
from apc_bench.plan import TRIAL, Planned, Step, place
from apc_bench.runner.tabulate import Costs, Measured, images_of, tabulate
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.sweep import Method, Sweep
from apc_bench.store.trials import TrialResult

DETECTOR = "foreign"
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
        raise NotImplementedError("a foreign method is not run here")

    def calibrate(self) -> tuple[Images, Scored]:
        raise NotImplementedError("a foreign method is not run here")


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

    @staticmethod
    def rows(split: Split, shots: int) -> list[int]:
        """The images whose maps are needed: the test set, and of a method that saw no anomalous
        image the reserve too, as a frozen detector's.
        """
        return (
            split.where("test")
            if shots
            else sorted([*split.where("test"), *split.where("reserved")])
        )

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
        what = place(sweep, dataset, planned.category.name, self.shots, seed)
        identity = {
            **what,
            "false_alarms": sweep.false_alarms,
            "method": self.name,
            "detector": DETECTOR,
        }
        computed = {
            "fingerprint": planned.fingerprint,
            "content": content,
            "environment": dict(self.environment),
        }
        key = digest({"kind": TRIAL, **identity, **computed})
        return Step(
            TRIAL,
            digest(identity),
            key,
            dataset,
            planned.category.name,
            self.name,
            self.shots,
            seed,
            None,
            self.method,
            0.0,
        )


def results(
    foreign: ExternalMethod,
    planned: Planned,
    split: Split,
    decoded: Decoded,
    folder: Path,
    scores: Scores | None,
) -> tuple[Step, TrialResult]:
    """The step and its tables. `folder`: of the category's maps. Raises DataError."""
    started = time.perf_counter()
    category = planned.category.name
    tested = images_of(split, decoded, ExternalMethod.rows(split, foreign.shots))
    sizes = [(int(height), int(width)) for height, width in decoded.placement[tested.rows, :2]]
    geometry = Geometry(foreign.sweep.image_size, foreign.sweep.resize)
    maps, largest, content = read_maps(folder, tested.names, sizes, geometry)
    values = largest if scores is None else [scores.test[category, name] for name in tested.names]
    known = (
        {}
        if scores is None
        else {
            name: value for (place, name), value in scores.calibration.items() if place == category
        }
    )
    calibration = images_of(
        split,
        decoded,
        [row for row in split.where("train") if split.rows[row].sample.image in known],
    )
    step = foreign.step(planned, split.seed, digest([content, values, sorted(known.items())]))
    measured = Measured(
        step=step,
        sweep=foreign.sweep,
        split=split,
        decoded=decoded,
        fitted=PrecomputedMaps(),
        tested=tested,
        scored=_scored(maps, values),
        calibration_images=calibration,
        calibration=_scored(maps[:0], [known[name] for name in calibration.names]),
        training=images_of(split, decoded, split.where("train")),
        notes=(AS_GIVEN, *[MAX_OF_MAP] * (scores is None), *[ONE_SET] * foreign.one_set),
        environment=foreign.environment,
        costs=Costs(started),
        half=False,
    )
    result = tabulate(measured)
    return step, replace(result, metrics=_without_cost(result.metrics))


def _scored(
    maps: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", values: list[float]
) -> Scored:
    """Scores with the place of the largest value of each map; UNKNOWN where there is no map."""
    worst = np.full((len(values), 2), UNKNOWN, np.int64)
    for row, one in enumerate(maps):
        worst[row] = np.unravel_index(int(one.argmax()), one.shape)
    return Scored(maps, np.array(values, np.float32), worst)


def _without_cost(metrics: pa.Table) -> pa.Table:
    """What the method itself took is not known, and what its evaluation took would be mistaken for
    it.
    """
    for index, name in enumerate(metrics.schema.names):
        if name.startswith("seconds_") or name == "training_images":
            metrics = metrics.set_column(
                index,
                metrics.schema.field(index),
                pa.nulls(len(metrics), metrics.schema.field(index).type),
            )
    return metrics
