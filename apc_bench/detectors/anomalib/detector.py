"""A model of anomalib as a detector (docs/anomalib.md). Imports anomalib only once it is used."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch.nn import functional as F

from apc_bench.detectors.anomalib.surroundings import load_anomalib, quiet, seeded
from apc_bench.detectors.protocol import Images, Scored, Timings, Trained, Training
from apc_bench.settings.anomalib import AnomalibSettings
from apc_bench.settings.sweep import Method

if TYPE_CHECKING:
    from apc_bench.detectors.anomalib.building import Built

BATCH = 8
"""Images that are scored at once."""


class Anomalib:
    """Trains, fits and scores one of anomalib's models. Its maps and scores are those of the model,
    before anomalib's own normalisation and threshold, the maps at the sweep's size.
    """

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, AnomalibSettings)
        load_anomalib()
        self.method, self.settings, self.weights = method, method.settings, weights

    def train(self, data: Training) -> Trained:
        """Trains on `data.learnable` and, where the model can, the drawn images whose mask is
        known. Raises TrainingError when it diverges.
        """
        built, curves = self.learned(data, data.learnable)
        drawn = len(data.masked)
        unmasked = drawn - int(data.masked.sum())
        notes: tuple[str, ...] = ()
        if self.settings.learns_from_anomalous and unmasked:
            notes = (f"{unmasked} of {drawn} drawn images have no usable mask and take no part",)
        return Trained(safetensors.torch.save(built.learned()), curves, notes)

    def fit(self, data: Training, trained: Path | None) -> "FittedAnomalib":
        """Loads the trained model; one that learns in one pass does so now, from all of
        `data.normal`.
        """
        started = time.perf_counter()
        if trained is None:
            built, _ = self.learned(data, data.normal)
        else:
            built = self._built(data)
            built.load_learned(safetensors.torch.load_file(trained))
        built.module.to(data.device).eval()
        timings = Timings(bank=time.perf_counter() - started)
        return FittedAnomalib(self, built, data, timings, one_pass=trained is None)

    def learned(
        self, data: Training, normal: Images
    ) -> "tuple[Built, list[dict[str, float | None]]]":
        """The model after it has learned from these normal images, and the training curves."""
        with quiet():
            from apc_bench.detectors.anomalib.training import fit

        with seeded(data.seed):
            built = self._built(data)
            with built.at_work():
                return built, fit(built, self.settings, data, normal)

    def _built(self, data: Training) -> "Built":
        with quiet():
            from apc_bench.detectors.anomalib.building import build

        with seeded(data.seed):
            return build(self.method, self.weights, data.normal.array.shape[-1])


@dataclass(frozen=True, slots=True, eq=False)
class FittedAnomalib:
    """A model that has learned. `one_pass`: from all normal images, so that others calibrate it."""

    detector: Anomalib
    built: "Built"
    data: Training
    timings: Timings
    one_pass: bool
    bank: None = None

    @property
    def unit(self) -> str:
        """Of the model's maps."""
        return self.detector.settings.spec.unit

    @property
    def sigma(self) -> float:
        """Of the settings: the model's maps are smoothed as anomalib does it."""
        return self.detector.settings.sigma

    @property
    def notes(self) -> tuple[str, ...]:
        """How its images go in, and what it does not learn from."""
        settings = self.detector.settings
        if settings.learns_from_anomalous:
            return self.built.notes
        return (*self.built.notes, f"anomalib's {settings.model} learns from normal images alone")

    def score(self, images: Images) -> Scored:
        """Scores by the model's own image score and map."""
        return self._scored(self.built, images, "scoring")

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images; where the model learned from them too, by one that did
        not.
        """
        images = self.data.calibration
        assert images is not None
        built = self.built
        if self.one_pass and images and self.data.learnable:
            built, _ = self.detector.learned(self.data, self.data.learnable)
            built.module.to(self.data.device).eval()
        return images, self._scored(built, images, "calibration")

    def _scored(self, built: "Built", images: Images, stage: str) -> Scored:
        parts = []
        with built.at_work(), seeded(self.data.seed):
            for part in images.batches(BATCH):
                parts.append(self._score(built, images, part))
                self.data.progress(stage, part.stop, len(images))
        return Scored.join(parts)

    @torch.inference_mode()
    def _score(self, built: "Built", images: Images, part: slice) -> Scored:
        size = images.array.shape[-1]
        pixels = torch.from_numpy(images.pixels(part)).to(self.data.device).float().div_(255)
        predicted = built.module.model(built.module.pre_processor.transform(pixels))
        maps = predicted.anomaly_map.float().reshape(len(pixels), 1, built.side, built.side)
        if built.side != size:
            maps = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
        maps = maps[:, 0]
        worst = maps.flatten(1).argmax(dim=1)
        place = torch.stack([worst // size, worst % size], dim=1)
        scores = predicted.pred_score.float().reshape(len(pixels))
        return Scored(maps.cpu().numpy(), scores.cpu().numpy(), place.cpu().numpy())
