"""What a method's work takes on one slot of this machine, as rates, and what a step takes at these
rates. Loads no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from apc_bench.datasets.split import Split
from apc_bench.plan import EXTRACTOR, Step, images_in_views
from apc_bench.settings.base import DetectorSettings
from apc_bench.settings.detectors import ApcPlusSettings, PatchCoreSettings

STEPS_OF = {
    "fine-tuning": "steps",
    "training": "steps",
    "patch classifier": "classifier_steps",
}
"""The stages in which a training says of each step that it is done, and the setting that counts
them.
"""

PER_STEP = 0.5
"""Seconds of a step that are none of these rates: reading, writing, checking."""


GROWTH = 0.65
"""The power of points × picks that the coreset's time grows with: 0.62 for 10,000 to 38,000 patches
of screws at 10 %, since few points are brought up to date at each pick.
"""


CALIBRATED = 0.4
"""Share of a search that an image takes which only calibrates (MemoryBank.farthest): screws'."""


@dataclass(frozen=True, slots=True)
class BankRates:
    """Seconds of a memory bank: `picking` of a coreset of `pairs` points × picks; `closing` holes,
    for each point and pick; `vector` to make one ready for the search, `pair` for each query and
    vector. `patches`: of an image.
    """

    patches: int
    pairs: int
    picking: float
    closing: float
    vector: float
    pair: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of a method's work on one slot.

    Training: `training` beside its steps, `training_image` for each normal image that it may see,
    `in_view` for each image in a changed view, `steps` by the setting that counts them. A trial:
    `fitting`, `fitting_image` for each normal image, `scoring_image` and `metrics_image`.
    `remembered`: frozen features by the key that they are kept under, for each image of a category,
    once.
    """

    training: float = 0.0
    training_image: float = 0.0
    in_view: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)
    fitting: float = 0.0
    fitting_image: float = 0.0
    scoring_image: float = 0.0
    metrics_image: float = 0.0
    remembered: Mapping[str, float] = field(default_factory=dict)
    bank: BankRates | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a step works on: normal ones, those of them that a training sees, those that
    calibrate and those that help to (`control`: for which only a distance is looked for), tested
    and reserved ones.
    """

    normal: int
    learnable: int
    calibration: int
    control: int
    tested: int
    reserved: int

    @property
    def scored(self) -> int:
        """Those that a trial scores."""
        return self.calibration + self.control + self.tested + self.reserved

    @classmethod
    def of(cls, split: Split, settings: DetectorSettings) -> "Counts":
        """Only a fine-tuned detector holds images out of its training; a frozen one calibrates with
        all normal ones.
        """
        train = split.where("train")
        held_out = sum(split.rows[row].held_out for row in train)
        learnable = len(train) - held_out
        return cls(
            normal=len(train),
            learnable=learnable,
            calibration=held_out if settings.holds_out else len(train),
            control=learnable if settings.controlled and held_out else 0,
            tested=len(split.where("test")),
            reserved=len(split.where("reserved")),
        )


def step_seconds(step: Step, split: Split, rates: Rates) -> float:
    """Of one step, without frozen features that are remembered."""
    settings = step.settings.settings
    counts = Counts.of(split, settings)
    if step.kind == EXTRACTOR:
        steps: float = sum(getattr(settings, name) * each for name, each in rates.steps.items())
        seconds = PER_STEP + rates.training + counts.learnable * rates.training_image + steps
        if isinstance(settings, ApcPlusSettings):
            seconds += images_in_views(settings, step.shots) * rates.in_view
        return seconds
    # The full test set is evaluated beside the test set where nothing was learned from it.
    twice = 0 if settings.learns_from_anomalous else counts.tested + counts.reserved
    seconds = PER_STEP + rates.fitting + counts.normal * rates.fitting_image
    seconds += counts.scored * rates.scoring_image
    seconds += (counts.tested + twice) * rates.metrics_image
    if rates.bank is not None and isinstance(settings, PatchCoreSettings):
        seconds += _bank_seconds(counts, settings, rates.bank)
    return seconds


def bank_size(normal: int, patches: int, settings: PatchCoreSettings) -> tuple[int, int]:
    """Patches that the coreset is chosen from, and how many it keeps."""
    points = min(normal * patches, settings.patches_max or normal * patches)
    kept = max(1, int(points * settings.coreset_ratio))
    return points, min(kept, settings.bank_max or kept)


def _bank_seconds(counts: Counts, settings: PatchCoreSettings, bank: BankRates) -> float:
    """Of the coreset, of making it ready, and of the search in it."""
    points, kept = bank_size(counts.normal, bank.patches, settings)
    by_distance = counts.control
    if not isinstance(settings, ApcPlusSettings):  # which needs the maps of those that calibrate
        by_distance += counts.calibration
    queries = (counts.scored - (1 - CALIBRATED) * by_distance) * bank.patches
    seconds = bank.picking * math.pow(points * kept / bank.pairs, GROWTH)
    seconds += kept * (bank.vector + points * bank.closing + queries * bank.pair)
    beside = isinstance(settings, ApcPlusSettings) and settings.frozen_bank > 0
    return seconds * (2 if beside else 1)
