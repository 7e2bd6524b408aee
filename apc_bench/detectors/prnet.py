"""PRNet (docs/method.md section 4): prototypes of normal maps, residuals to them, and a decoder
that is trained to draw the anomaly's mask.
"""

import dataclasses
import time
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from apc_bench.detectors.features import BATCH
from apc_bench.detectors.protocol import Images, Scored, Timings, Trained, Training
from apc_bench.detectors.training_tensors import training_tensors
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.prnet import PRNet
from apc_bench.networks.prnet_training import frozen_stages, train_prnet
from apc_bench.settings.detectors import PRNetSettings
from apc_bench.settings.sweep import Method

CENTRES = "centres_"


class PRNetDetector:
    """Trains on drawn and generated anomalies; the backbone stays frozen. Maps are logits, at half
    the input's size.
    """

    def __init__(self, method: Method, weights: Path, sha256: str) -> None:
        assert isinstance(method.settings, PRNetSettings)
        self.settings = method.settings
        self.backbone, self.messages = load_backbone(method.backbone, weights)
        for layer in self.settings.layers:
            self.backbone.require(layer)

    def train(self, data: Training) -> Trained:
        """Trains on `data.normal` (without the held-out images), the drawn images whose mask is
        known, and generated anomalies.
        """
        known = int(data.masked.sum())
        notes = (
            ()
            if known == len(data.masked)
            else (
                (
                    f"{len(data.masked) - known} of {len(data.masked)} drawn images have no usable"
                    " mask and take no part"
                ),
            )
        )
        backbone = self.backbone.to(data.device)
        network, curves = train_prnet(
            backbone,
            training_tensors(data),
            self.settings,
            seed=data.seed,
            mixed_precision=data.mixed_precision,
        )
        tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        rows = [dataclasses.asdict(step) for step in curves]
        return Trained(safetensors.torch.save(tensors), rows, notes)

    def fit(self, data: Training, trained: Path | None) -> "FittedPRNet":
        """Loads the trained network with its prototypes."""
        assert trained is not None
        started = time.perf_counter()
        state = safetensors.torch.load_file(trained)
        centres: dict[str, Tensor] = {
            layer: state[CENTRES + layer] for layer in self.settings.layers
        }
        network = PRNet(
            self.backbone.channels, centres, self.settings, deepest=self.backbone.stages[-1]
        )
        network.load_state_dict(state)
        timings = Timings(time.perf_counter() - started)
        return FittedPRNet(
            self.backbone.to(data.device),
            network.to(data.device).eval(),
            self.settings,
            data,
            timings,
            tuple(self.messages),
        )


class FittedPRNet:
    """A trained PRNet: the image score is the mean of the `top_pixels` largest logits. It keeps no
    memory bank, so no nearest patch.
    """

    unit = "logit"
    bank = None

    def __init__(
        self,
        backbone: Backbone,
        network: PRNet,
        settings: PRNetSettings,
        data: Training,
        timings: Timings,
        notes: tuple[str, ...],
    ) -> None:
        self.backbone, self.network, self.settings, self.data, self.timings, self.notes = (
            backbone,
            network,
            settings,
            data,
            timings,
            notes,
        )
        self.sigma = settings.sigma

    def score(self, images: Images) -> Scored:
        """Scores by the logits of the mask."""
        return Scored.join([self._score(images, part) for part in images.batches(BATCH)])

    def calibrate(self) -> tuple[Images, Scored]:
        """The held-out normal images."""
        assert self.data.calibration is not None
        return self.data.calibration, self.score(self.data.calibration)

    @torch.inference_mode()
    def _score(self, images: Images, part: slice) -> Scored:
        batch = torch.from_numpy(images.array[images.rows[part]]).to(self.data.device)
        logits = self.network(frozen_stages(self.backbone, batch.float()), batch.shape[-2:]).float()
        scores = (
            logits.flatten(1)
            .topk(min(self.settings.top_pixels, logits[0].numel()), dim=1)
            .values.mean(dim=1)
        )
        maps = F.avg_pool2d(logits[:, None], 2, ceil_mode=True)[:, 0]
        worst = maps.flatten(1).argmax(dim=1)
        place = torch.stack([worst // maps.shape[2], worst % maps.shape[2]], dim=1)
        return Scored(maps.cpu().numpy(), scores.cpu().numpy(), place.cpu().numpy())
