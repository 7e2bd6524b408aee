"""APC+ (this project's own): PatchCore's localisation kept, and what a few anomalous images teach
added beside it, part by part (docs/method.md section 5).
"""

import copy
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from apc_bench.detectors.apc import Apc
from apc_bench.detectors.apc_plus_scoring import (
    Evidence,
    FittedApcPlus,
    classified,
    distance_scale,
    log_distances,
    segmented,
)
from apc_bench.detectors.features import FeatureSource
from apc_bench.detectors.normal_split import bank_images, finetuning_part
from apc_bench.detectors.patch_examples import patch_examples
from apc_bench.detectors.patchcore_scoring import FittedPatchCore
from apc_bench.detectors.protocol import Images, Trained, Training
from apc_bench.detectors.training_tensors import as_trained
from apc_bench.detectors.views import stand_ins
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.finetune import TrainingStep
from apc_bench.networks.patch_classifier import PatchClassifier, train_classifier
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import CLASSIFIER_OFF, ApcPlusSettings

TUNED, CLASSIFIER = "tuned.", "classifier."

ON_VIEWS = (
    "no normal image is held out: the parts are standardised on changed views of the training"
    " images, which may misjudge their spread"
)

State = Mapping[str, Tensor]


class ApcPlus(Apc):
    """Trains a patch classifier on frozen features, and the fine-tuned network where a part needs
    it; maps are standardised and added.
    """

    settings: ApcPlusSettings

    def train(self, data: Training) -> Trained:
        """Trains what has a weight. Raises TrainingError when the fine-tuning diverges."""
        data = finetuning_part(data, self.settings.normals)
        tensors: dict[str, Tensor] = {}
        curves: list[TrainingStep] = []
        notes: tuple[str, ...] = ()
        if self.settings.classifies and data.masked.any():
            classifier, curves = self._train_classifier(data)
            tensors |= _prefixed(CLASSIFIER, classifier.state_dict())
        elif self.settings.classifies:
            notes = (CLASSIFIER_OFF,)
        if self.settings.tunes:
            network, curves, more = self._finetune(data)
            tensors |= _prefixed(TUNED, network.state_dict())
            notes += more
        return as_trained(tensors or {"nothing": torch.zeros(1)}, curves, notes)

    def fit(self, data: Training, trained: Path | None) -> FittedApcPlus:
        """Builds the memory bank, and the other parts beside it, each standardised on the held-out
        normal images; where there are none, on changed views of all normal ones.
        """
        assert trained is not None
        images = bank_images(data, self.settings.normals)
        state = load_file(trained)
        frozen = copy.deepcopy(self.backbone)
        network = self._tuned(_under(TUNED, state))
        remembered: str | None = self.frozen
        if self.settings.weight_interpolation:
            assert network is not None
            self._interpolate(network.backbone.state_dict())
            remembered = None
        inner = self._fit(data, self.backbone, images, remembered=remembered)
        normal, notes = inner.calibration_images(), inner.notes
        if not normal:
            normal, notes = stand_ins(data, self.settings), (*notes, ON_VIEWS)
        evidence = []
        classifier = _under(CLASSIFIER, state)
        if classifier:
            source = (
                self._source(frozen, data) if self.settings.weight_interpolation else inner.source
            )
            evidence.append(self._classifier_evidence(classifier, source, data))
        if self.settings.frozen_bank:
            beside = self._fit(data, frozen, images, remembered=self.frozen)
            evidence.append(self._frozen_bank_evidence(beside, normal))
        if self.settings.segmentation:
            assert network is not None
            evidence.append(self._segmentation_evidence(network, inner.source, data))
        return FittedApcPlus.standardised(
            inner, evidence, self.settings.fused_image, normal=normal, notes=notes
        )

    def _train_classifier(self, data: Training) -> tuple[PatchClassifier, list[TrainingStep]]:
        started = time.perf_counter()
        source = self._source(self.backbone, data)
        normal, anomalous = patch_examples(data, source, self.settings)
        classifier, losses = train_classifier(
            normal, anomalous, self.settings, seed=data.seed, progress=data.progress
        )
        seconds = (time.perf_counter() - started) / len(losses)
        rate = self.settings.classifier_learning_rate
        curves = [
            TrainingStep(step, loss, loss, None, None, rate, seconds * (step + 1))
            for step, loss in enumerate(losses)
        ]
        return classifier, curves

    def _source(self, backbone: Backbone, data: Training) -> FeatureSource:
        """Features of the frozen backbone, remembered for the whole category."""
        return FeatureSource(
            backbone,
            self.settings,
            device=data.device,
            memo=data.memo,
            remembered=self.frozen,
            progress=data.progress,
        )

    def _tuned(self, state: State) -> UNet | None:
        """The fine-tuned network with its decoder, or None where nothing was fine-tuned."""
        if not state:
            return None
        network = UNet(copy.deepcopy(self.backbone), skips=self.settings.skips)
        network.load_state_dict(state)
        return network

    def _classifier_evidence(self, state: State, source: FeatureSource, data: Training) -> Evidence:
        classifier = PatchClassifier(len(state["mean"]), self.settings.classifier_width)
        classifier.load_state_dict(state)
        belief = _belief(data)
        return Evidence(
            classified(classifier.to(data.device).eval(), source),
            belief * self.settings.classifier,
            belief * self.settings.classifier_image,
            self.settings.only_adds,
        )

    def _frozen_bank_evidence(self, beside: FittedPatchCore, normal: Images) -> Evidence:
        scale, weight = distance_scale(beside.score(normal)), self.settings.frozen_bank
        return Evidence(
            lambda images: log_distances(beside.score(images).maps, scale),
            weight,
            weight,
            self.settings.only_adds,
        )

    def _segmentation_evidence(
        self, network: UNet, source: FeatureSource, data: Training
    ) -> Evidence:
        maps = segmented(network.to(data.device).eval(), source, data.device)
        weight = _belief(data) * self.settings.segmentation
        return Evidence(maps, weight, weight, self.settings.only_adds)


def _belief(data: Training) -> float:
    """How far what was learned from n masked images is believed: n / (n + 1)."""
    masked = int(data.masked.sum())
    return masked / (masked + 1)


def _prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _under(prefix: str, state: State) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it."""
    own = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            own[name.removeprefix(prefix)] = tensor
    return own
