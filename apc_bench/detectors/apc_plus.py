"""APC+ (this project's own): PatchCore's localisation kept, and what a few anomalous images teach
added beside it, part by part.
"""

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.detectors.apc import STORED_AT_LEAST, Apc
from apc_bench.detectors.features import BATCH, FeatureSource
from apc_bench.detectors.fusion import Part, ZScore, fuse
from apc_bench.detectors.normal_split import bank_part, finetuning_part
from apc_bench.detectors.patchcore import FittedPatchCore
from apc_bench.detectors.protocol import Images, Scored, Timings, Trained, Training
from apc_bench.detectors.training_tensors import training_tensors
from apc_bench.networks.backbones import Backbone, normalise
from apc_bench.networks.finetune import finetune
from apc_bench.networks.patch_classifier import PatchClassifier, train_classifier
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import ApcPlusSettings

NORMAL_PATCHES = 200_000
TUNED, CLASSIFIER = "tuned.", "classifier."
LOG_OFFSET = 0.1

Maps = NDArray[np.float32]


class ApcPlus(Apc):
    """Trains a patch classifier on frozen features, and the fine-tuned network where a part needs
    it; maps are standardised and added.
    """

    settings: ApcPlusSettings

    def train(self, data: Training) -> Trained:
        """Trains what has a weight. Raises TrainingError when the fine-tuning diverges."""
        data = finetuning_part(data, self.settings.normals)
        tensors: dict[str, Tensor] = {}
        lines: list[dict[str, float | None]] = []
        notes: tuple[str, ...] = ()
        if self.settings.classifies and data.masked.any():
            started = time.perf_counter()
            classifier, losses = train_classifier(
                *self._patches(data), self.settings, seed=data.seed
            )
            tensors |= {
                CLASSIFIER + name: tensor for name, tensor in classifier.state_dict().items()
            }
            seconds = (time.perf_counter() - started) / len(losses)
            rate = self.settings.classifier_learning_rate
            lines = [
                {
                    "step": step,
                    "loss": loss,
                    "classification": loss,
                    "rate": rate,
                    "seconds": seconds * (step + 1),
                }
                for step, loss in enumerate(losses)
            ]
        elif self.settings.classifies:
            notes = ("no drawn image has a usable mask: the patch classifier is off",)
        if self.settings.tunes:
            settings, more = self._without_masks(data)
            backbone = self.backbone.to(data.device)
            network, curves = finetune(
                backbone,
                training_tensors(data),
                settings,
                seed=data.seed,
                mixed_precision=data.mixed_precision,
            )
            notes += more
            tensors |= {TUNED + name: tensor for name, tensor in network.state_dict().items()}
            lines = [dataclasses.asdict(step) for step in curves]
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()} or {
            "nothing": torch.zeros(1)
        }
        return Trained(safetensors.torch.save(kept), lines, notes)

    def fit(self, data: Training, trained: Path | None) -> "FittedApcPlus":
        """Builds the memory bank, and the other parts beside it, each standardised on the held-out
        normal images.
        """
        assert trained is not None
        normal, data = data.normal, bank_part(data, self.settings.normals)
        state = safetensors.torch.load_file(trained)
        frozen = copy.deepcopy(self.backbone)
        network = self._tuned(state)
        if self.settings.interpolation:
            assert network is not None
            self._interpolate(network.backbone)
        inner = self._fit(
            data,
            self.backbone,
            remembered=None if self.settings.interpolation else self.sha256,
            among=normal,
        )
        parts: dict[str, Callable[[Images], Maps]] = {}
        masked = int(data.masked.sum())
        belief = masked / (masked + 1)
        weights = {"bank": (1.0, 1.0)}
        if CLASSIFIER + "mean" in state:
            source = inner.source if not self.settings.interpolation else self._source(frozen, data)
            parts["classifier"] = _classified(self._classifier(state, data.device), source)
            weights["classifier"] = (
                belief * self.settings.classifier,
                belief * self.settings.classifier_image,
            )
        if self.settings.frozen_bank:
            beside = self._fit(data, frozen, remembered=self.sha256, among=normal)
            parts["frozen bank"] = lambda images: _logs(
                beside.score(images).maps, self._scale(beside)
            )
            weights["frozen bank"] = (self.settings.frozen_bank,) * 2
        if self.settings.segmentation:
            assert network is not None
            parts["segmentation"] = _segmented(
                network.to(data.device).eval(), inner.source, data.device
            )
            weights["segmentation"] = (belief * self.settings.segmentation,) * 2
        return FittedApcPlus(
            inner, self._scale(inner), parts, weights, data, only_adds=self.settings.only_adds
        )

    def _patches(self, data: Training) -> tuple[Tensor, Tensor]:
        """Features of normal patches, at most about NORMAL_PATCHES of them at random, with the
        clean ones of the drawn images; and of anomalous ones: from `classifier_share` of their area
        on; the fullest one where none is as full. Half-empty patches teach it the normal.
        """
        source = self._source(self.backbone, data)
        generator = torch.Generator().manual_seed(data.seed)
        normal, drawn, shares = [], [], []
        for part in data.normal.batches(BATCH):
            flat = source(data.normal, part).flatten(0, 1)
            count = max(
                1,
                min(
                    len(flat), NORMAL_PATCHES * (part.stop - part.start) // max(1, len(data.normal))
                ),
            )
            normal.append(
                flat[torch.randperm(len(flat), generator=generator)[:count].to(flat.device)]
            )
        for position in np.flatnonzero(data.masked):
            one = source(data.anomalous, slice(int(position), int(position) + 1))[0]
            mask = torch.from_numpy(data.masks[position]).float()[None, None]
            shares.append(F.adaptive_avg_pool2d(mask, source.grid).flatten().to(one.device))
            drawn.append(one)
            normal.append(one[shares[-1] == 0])
        share = torch.cat(shares)
        return (
            torch.cat(normal),
            torch.cat(drawn)[share >= min(self.settings.classifier_share, float(share.max()))],
        )

    def _source(self, backbone: Backbone, data: Training) -> FeatureSource:
        """Features of the frozen backbone, remembered for the whole category."""
        return FeatureSource(
            backbone, self.settings, device=data.device, memo=data.memo, remembered=self.sha256
        )

    def _tuned(self, state: Mapping[str, Tensor]) -> UNet | None:
        """The fine-tuned network with its decoder, or None where nothing was fine-tuned."""
        own = {
            name.removeprefix(TUNED): tensor
            for name, tensor in state.items()
            if name.startswith(TUNED)
        }
        if not own:
            return None
        network = UNet(copy.deepcopy(self.backbone), skips=self.settings.skips)
        network.load_state_dict(own)
        return network

    def _interpolate(self, tuned: Backbone) -> None:
        """Weights between frozen and fine-tuned, as far as the bank needs them (Wortsman et al.,
        CVPR 2022, for fine-tuning in general).
        """
        deepest = max(STORED_AT_LEAST, *self.settings.layers)
        self.backbone.truncate(deepest)
        other = tuned.state_dict()
        mixed = {
            name: (
                torch.lerp(tensor, other[name].to(tensor), self.settings.interpolation)
                if tensor.is_floating_point()
                else tensor
            )
            for name, tensor in self.backbone.state_dict().items()
        }
        self.backbone.load_state_dict(mixed)

    def _classifier(self, state: Mapping[str, Tensor], device: str) -> PatchClassifier:
        own = {
            name.removeprefix(CLASSIFIER): tensor
            for name, tensor in state.items()
            if name.startswith(CLASSIFIER)
        }
        classifier = PatchClassifier(len(own["mean"]), self.settings.classifier_width)
        classifier.load_state_dict(own)
        return classifier.to(device).eval()

    @staticmethod
    def _scale(fitted: FittedPatchCore) -> float:
        """The held-out images' mean distance, the unit in which distances enter the logarithm."""
        return max(float(fitted.calibrate()[1].maps.mean()), 1e-12)


def _logs(distances: Maps, scale: float) -> Maps:
    """Logarithms of distances: their spread over normal patches is long-tailed. The offset keeps a
    distance of 0 finite.
    """
    logs: Maps = np.log(distances / np.float32(scale) + np.float32(LOG_OFFSET))
    return logs


def _classified(classifier: PatchClassifier, source: FeatureSource) -> Callable[[Images], Maps]:
    @torch.inference_mode()
    def maps(images: Images) -> Maps:
        found = [
            classifier(source(images, part)).reshape(-1, *source.grid).cpu().numpy()
            for part in images.batches(BATCH)
        ]
        return np.concatenate(found) if found else np.zeros((0, *source.grid), np.float32)

    return maps


def _segmented(network: UNet, source: FeatureSource, device: str) -> Callable[[Images], Maps]:
    """The segmentation head's logits, averaged over each patch of the grid."""

    @torch.inference_mode()
    def maps(images: Images) -> Maps:
        found = []
        for part in images.batches(BATCH):
            batch = normalise(torch.from_numpy(images.array[images.rows[part]]).to(device))
            found.append(
                F.adaptive_avg_pool2d(network(batch).masks.float()[:, None], source.grid)[:, 0]
                .cpu()
                .numpy()
            )
        return np.concatenate(found) if found else np.zeros((0, *source.grid), np.float32)

    return maps


class FittedApcPlus:
    """The bank's map and the other parts', standardised on the held-out normal images and added.

    `worst` and `nearest` are the bank's: the patch farthest from what is normal, and the normal
    patch that it was compared with.
    """

    unit = "standard score"

    def __init__(
        self,
        inner: FittedPatchCore,
        scale: float,
        parts: Mapping[str, Callable[[Images], Maps]],
        weights: Mapping[str, tuple[float, float]],
        data: Training,
        *,
        only_adds: bool,
    ) -> None:
        assert data.calibration is not None
        self.inner, self.scale, self.parts, self.data = inner, scale, parts, data
        self.notes, self.sigma = inner.notes, inner.sigma
        maps = self._maps(data.calibration, inner.score(data.calibration))
        standards = [ZScore.of(one) for one in maps]
        self.fusion = [
            Part(standard, *weights[name], only_adds=only_adds and name != "bank")
            for name, standard in zip(("bank", *parts), standards, strict=True)
        ]

    @property
    def bank(self) -> MemoryBank:
        return self.inner.bank

    @property
    def timings(self) -> Timings:
        return self.inner.timings

    def score(self, images: Images) -> Scored:
        """Scores by the fused maps; the image score adds each part's largest patch."""
        found = self.inner.score(images)
        maps, scores = fuse(self._maps(images, found), self.fusion)
        return dataclasses.replace(found, maps=maps, scores=scores)

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images."""
        assert self.data.calibration is not None
        return self.data.calibration, self.score(self.data.calibration)

    def _maps(self, images: Images, found: Scored) -> list[Maps]:
        return [_logs(found.maps, self.scale), *(part(images) for part in self.parts.values())]
