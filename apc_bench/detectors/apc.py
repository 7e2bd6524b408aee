"""AnomalousPatchCore (docs/method.md section 3): PatchCore on an extractor that was fine-tuned with
a few anomalous samples.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from apc_bench.detectors.normal_split import bank_images, finetuning_part
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.protocol import Fitted, Trained, Training
from apc_bench.detectors.training_tensors import as_trained, training_tensors
from apc_bench.errors import TrainingError
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.finetune import TrainingStep, finetune
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import ApcSettings

STORED_AT_LEAST = "layer3"


class Apc(PatchCore):
    """Fine-tunes with segmentation, reconstruction and classification; then the rest of PatchCore
    is kept.
    """

    settings: ApcSettings

    def train(self, data: Training) -> Trained:
        """Fine-tunes on `data.normal` (without the held-out images) and `data.anomalous`; raises
        TrainingError when it diverges.

        The stored weights reach as far as layer3, or the deepest layer that the memory bank uses.
        """
        _, curves, notes = self._finetune(finetuning_part(data, self.settings.normals))
        self._truncate()
        return as_trained(self.backbone.state_dict(), curves, notes)

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Builds the memory bank with the extractor, as far fine-tuned as the settings say."""
        images = bank_images(data, self.settings.normals)
        return self._fit(data, self.extractor(trained), images, remembered=None)

    def extractor(self, trained: Path | None) -> Backbone:
        """As PatchCore says: as far fine-tuned as the settings say."""
        assert trained is not None
        self._interpolate(load_file(trained))
        return self.backbone

    def _interpolate(self, tuned: Mapping[str, Tensor]) -> None:
        """Weights between frozen and fine-tuned, as far as the bank needs them: what fine-tuning
        gains, with less of what it forgets (Wortsman et al., CVPR 2022).
        """
        self._truncate()
        share = self.settings.weight_interpolation
        mixed = self.backbone.state_dict()
        for name, tensor in mixed.items():
            if tensor.is_floating_point():
                mixed[name] = torch.lerp(tensor, tuned[name].to(tensor), share)
        self.backbone.load_state_dict(mixed)

    def _truncate(self) -> None:
        kept = [*self.backbone.select([STORED_AT_LEAST]), *self.settings.layers]
        self.backbone.truncate(self.backbone.deepest(kept))

    def _finetune(self, data: Training) -> tuple[UNet, list[TrainingStep], tuple[str, ...]]:
        """Fine-tunes the backbone in place; the network around it, the curves, and notes."""
        settings, notes = self._without_masks(data)
        network, curves = finetune(
            self.backbone.to(data.device),
            training_tensors(data),
            settings,
            seed=data.seed,
            mixed_precision=data.mixed_precision,
            progress=data.progress,
        )
        return network, curves, notes

    def _without_masks(self, data: Training) -> tuple[ApcSettings, tuple[str, ...]]:
        """L_segm switches itself off where no drawn image has a mask, and says so."""
        losses = self.settings.losses
        if not losses.segmentation:
            return self.settings, ()
        drawn, known = len(data.masked), int(data.masked.sum())
        if known:
            note = (
                f"{drawn - known} of {drawn} drawn images have no usable mask and take no part in"
                " the segmentation loss"
            )
            return self.settings, (note,) if known < drawn else ()
        if not (losses.classification or losses.reconstruction):
            raise TrainingError(
                "no drawn image has a usable mask, and segmentation is the only loss that is"
                " switched on; switch on another"
            )
        others = losses.model_copy(update={"segmentation": 0.0})
        note = "no drawn image has a usable mask: the segmentation loss is off"
        return self.settings.model_copy(update={"losses": others}), (note,)
