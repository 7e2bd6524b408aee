"""AnomalousPatchCore (docs/method.md section 3): PatchCore on an extractor that was fine-tuned with
a few anomalous samples.
"""

import dataclasses
from pathlib import Path

import safetensors.torch

from apc_bench.detectors.normal_split import bank_part, finetuning_part
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.protocol import Fitted, Trained, Training
from apc_bench.detectors.training_tensors import training_tensors
from apc_bench.errors import TrainingError
from apc_bench.networks.finetune import finetune
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
        data = finetuning_part(data, self.settings.normals)
        settings, notes = self._without_masks(data)
        backbone = self.backbone.to(data.device)
        _, curves = finetune(
            backbone,
            training_tensors(data),
            settings,
            seed=data.seed,
            mixed_precision=data.mixed_precision,
        )
        backbone.truncate(max(STORED_AT_LEAST, *self.settings.layers))
        tensors = {
            name: tensor.cpu().contiguous() for name, tensor in backbone.state_dict().items()
        }
        rows = [dataclasses.asdict(step) for step in curves]
        return Trained(safetensors.torch.save(tensors), rows, notes)

    def fit(self, data: Training, trained: Path | None) -> Fitted:
        """Builds the memory bank with the fine-tuned extractor."""
        assert trained is not None
        self.backbone.truncate(max(STORED_AT_LEAST, *self.settings.layers))
        self.backbone.load_state_dict(safetensors.torch.load_file(trained))
        return self._fit(
            bank_part(data, self.settings.normals),
            self.backbone,
            remembered=None,
            among=data.normal,
        )

    def _without_masks(self, data: Training) -> tuple[ApcSettings, tuple[str, ...]]:
        """L_segm switches itself off where no drawn image has a mask, and says so."""
        losses = self.settings.losses
        known = int(data.masked.sum())
        if known or not losses.segmentation:
            missing = len(data.masked) - known
            note = (
                f"{missing} of {len(data.masked)} drawn images have no usable mask and take no part"
                " in the segmentation loss"
            )
            return self.settings, (note,) if missing and losses.segmentation else ()
        if not (losses.classification or losses.reconstruction):
            raise TrainingError(
                "no drawn image has a usable mask, and segmentation is the only loss that is"
                " switched on; switch on another"
            )
        off = self.settings.model_copy(
            update={"losses": losses.model_copy(update={"segmentation": 0.0})}
        )
        return off, ("no drawn image has a usable mask: the segmentation loss is off",)
