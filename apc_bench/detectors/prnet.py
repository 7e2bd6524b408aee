"""PRNet (docs/method.md section 4): prototypes of normal maps, residuals to them, and a decoder
that is trained to draw the anomaly's mask.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from apc_bench.detectors.features import BATCH
from apc_bench.detectors.protocol import Images, Scored, Timings, Trained, Training
from apc_bench.detectors.training_tensors import as_trained, training_tensors
from apc_bench.networks.backbones import Backbone, module_name
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.prnet import CENTRES, PRNet, require_resolutions
from apc_bench.networks.prnet_training import frozen_stages, train_prnet
from apc_bench.settings.detectors import PRNetSettings
from apc_bench.settings.sweep import Method


class PRNetDetector:
    """Trains on drawn and generated anomalies; the backbone stays frozen. Maps are logits, at half
    the input's size.
    """

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, PRNetSettings)
        self.backbone, self.messages = load_backbone(method.backbone, weights)
        layers = self.backbone.select(method.settings.layers)
        require_resolutions(self.backbone, layers)
        self.settings = method.settings.model_copy(update={"layers": layers})

    def train(self, data: Training) -> Trained:
        """Trains on `data.normal` (without the held-out images), the drawn images whose mask is
        known, and generated anomalies. Raises TrainingError when it diverges.
        """
        network, curves = train_prnet(
            self.backbone.to(data.device),
            training_tensors(data),
            self.settings,
            seed=data.seed,
            mixed_precision=data.mixed_precision,
            progress=data.progress,
        )
        drawn = len(data.masked)
        unmasked = drawn - int(data.masked.sum())
        notes: tuple[str, ...] = ()
        if unmasked:
            notes = (f"{unmasked} of {drawn} drawn images have no usable mask and take no part",)
        return as_trained(network.state_dict(), curves, notes)

    def fit(self, data: Training, trained: Path | None) -> "FittedPRNet":
        """Loads the trained network with its prototypes."""
        assert trained is not None
        started = time.perf_counter()
        state = load_file(trained)
        centres: dict[str, Tensor] = {
            layer: state[CENTRES + module_name(layer)] for layer in self.settings.layers
        }
        backbone = self.backbone
        network = PRNet(backbone.channels, centres, self.settings, deepest=backbone.decoded[-1])
        network.load_state_dict(state)
        return FittedPRNet(
            backbone=backbone.to(data.device),
            network=network.to(data.device).eval(),
            settings=self.settings,
            data=data,
            timings=Timings(time.perf_counter() - started),
            notes=(*self.messages, *backbone.notes(data.normal.array.shape[-1])),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedPRNet:
    """A trained PRNet: the image score is the mean of the `top_pixels` largest logits. It keeps no
    memory bank, so no nearest patch.
    """

    backbone: Backbone
    network: PRNet
    settings: PRNetSettings
    data: Training
    timings: Timings
    notes: tuple[str, ...]
    unit: str = "logit"
    bank: None = None

    @property
    def sigma(self) -> float:
        """Of the settings."""
        return self.settings.sigma

    def score(self, images: Images) -> Scored:
        """Scores by the logits of the mask."""
        return self._scored(images, "scoring")

    def _scored(self, images: Images, stage: str) -> Scored:
        parts = []
        for part in images.batches(BATCH):
            parts.append(self._score(images, part))
            self.data.progress(stage, part.stop, len(images))
        return Scored.join(parts)

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images."""
        assert self.data.calibration is not None
        return self.data.calibration, self._scored(self.data.calibration, "calibration")

    @torch.inference_mode()
    def _score(self, images: Images, part: slice) -> Scored:
        batch = torch.from_numpy(images.pixels(part)).to(self.data.device)
        stages = frozen_stages(self.backbone, batch.float())
        logits = self.network(stages, batch.shape[-2:]).float()
        count = min(self.settings.top_pixels, logits[0].numel())
        scores = logits.flatten(1).topk(count, dim=1).values.mean(dim=1)
        maps = F.avg_pool2d(logits[:, None], 2, ceil_mode=True)[:, 0]
        worst = maps.flatten(1).argmax(dim=1)
        columns = maps.shape[2]
        place = torch.stack([worst // columns, worst % columns], dim=1)
        return Scored(maps.cpu().numpy(), scores.cpu().numpy(), place.cpu().numpy())
