"""A small classifier of patch features: anomalous patches of the drawn images against normal ones
(APC+, this project's own).
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from apc_bench.networks.progress import Progress, untold
from apc_bench.settings.detectors import ApcPlusSettings

ANOMALOUS, NORMAL = 128, 512
"""Patches of a batch."""
DROPOUT = 0.3


class PatchClassifier(nn.Module):
    """Standardises patch features with the normal patches' statistics, then a perceptron of one
    hidden layer gives a logit for each.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))
        self.layers = nn.Sequential(
            nn.Linear(dimension, width), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(width, 1)
        )

    def standardise(self, features: Tensor) -> Tensor:
        """features (…, dimension) float32 -> the same, each dimension of mean 0 and deviation 1
        over the normal patches.
        """
        return (features - self.mean) / self.deviation

    def forward(self, features: Tensor) -> Tensor:
        """Patch features (…, dimension) -> logits (…)."""
        logits: Tensor = self.layers(self.standardise(features))[..., 0]
        return logits


def train_classifier(
    normal: Tensor,
    anomalous: Tensor,
    settings: ApcPlusSettings,
    *,
    seed: int,
    progress: Progress = untold,
) -> tuple[PatchClassifier, list[float]]:
    """Trains on patches normal (m, d) and anomalous (k, d) float32, both at least one, of one
    device; returns it there, and the loss at each step.

    Balanced batches with noise on the standardised features, AdamW, binary cross-entropy. Draws
    come from the CPU, whatever the device.
    """
    device, dimension = normal.device, normal.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = PatchClassifier(dimension, settings.classifier_width).to(device)
        generator = Generator().manual_seed(seed)
        classifier.mean.copy_(normal.mean(dim=0))
        classifier.deviation.copy_(normal.std(dim=0, correction=0).clamp(min=1e-6))
        optimiser = torch.optim.AdamW(
            classifier.layers.parameters(),
            lr=settings.classifier_learning_rate,
            weight_decay=settings.classifier_decay,
        )
        target = torch.cat([torch.ones(ANOMALOUS), torch.zeros(NORMAL)]).to(device)
        losses = []
        for step in range(settings.classifier_steps):
            some_anomalous = _some(anomalous, ANOMALOUS, generator)
            some_normal = _some(normal, NORMAL, generator)
            batch = classifier.standardise(torch.cat([some_anomalous, some_normal]))
            noise = torch.randn(batch.shape, generator=generator).to(device)
            logits = classifier.layers(batch + settings.classifier_noise * noise)[:, 0]
            loss = F.binary_cross_entropy_with_logits(logits, target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
            progress("patch classifier", step + 1, settings.classifier_steps, losses[-1])
    return classifier.eval(), torch.stack(losses).tolist()


def _some(patches: Tensor, count: int, generator: Generator) -> Tensor:
    """`count` of the patches at random, with repetition."""
    rows = torch.randint(len(patches), (count,), generator=generator)
    return patches[rows.to(patches.device)]
