"""Training PRNet on drawn and generated anomalies (docs/method.md section 4). Fixed length: no
selection of any kind.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from apc_bench.errors import TrainingError
from apc_bench.networks.augment import augment, draw
from apc_bench.networks.backbones import Backbone, normalise
from apc_bench.networks.batches import TrainingTensors, anomalous_in_batch
from apc_bench.networks.finetune import TrainingStep
from apc_bench.networks.generated import generate, read_textures
from apc_bench.networks.prnet import PRNet
from apc_bench.networks.progress import Progress, untold
from apc_bench.networks.prototypes import prototypes
from apc_bench.settings.detectors import PRNetSettings

BATCH = 16
CHECKED_EVERY = 20


def build_prnet(
    backbone: Backbone,
    normal: Tensor,
    settings: PRNetSettings,
    *,
    seed: int,
    progress: Progress = untold,
) -> PRNet:
    """An untrained PRNet on the device of `normal` (n, 3, s, s) uint8, with the prototypes of these
    normal images.
    """
    maps: dict[str, list[Tensor]] = {layer: [] for layer in settings.layers}
    for start in range(0, len(normal), BATCH):
        stages = frozen_stages(backbone, normal[start : start + BATCH].float())
        for layer, parts in maps.items():
            parts.append(stages[layer].cpu())
        progress("features", min(start + BATCH, len(normal)), len(normal))
    share = settings.prototype_share if settings.prototypes == "k_means" else 1 / len(normal)
    centres = {}
    for layer, parts in maps.items():
        centres[layer] = prototypes(torch.cat(parts), share, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PRNet(backbone.channels, centres, settings, deepest=backbone.decoded[-1])
    return network.to(normal.device)


@torch.no_grad()
def frozen_stages(backbone: Backbone, images: Tensor) -> dict[str, Tensor]:
    """images (n, 3, s, s) float in 0..255 -> the backbone's stages (n, c, h, w) by name, without
    gradients.
    """
    return backbone(  # type: ignore[no-any-return]
        normalise(images, backbone.statistics), last=backbone.stages[-1]
    )


def train_prnet(
    backbone: Backbone,
    tensors: TrainingTensors,
    settings: PRNetSettings,
    *,
    seed: int,
    mixed_precision: bool,
    progress: Progress = untold,
) -> tuple[PRNet, list[TrainingStep]]:
    """PRNet trained on `tensors`, and its training curves (`segmentation`: the whole loss).

    Adam with a cosine schedule over `settings.steps`. Deterministic for a seed, a device class and
    a number of threads. Raises TrainingError when the loss stops being finite.
    """
    device = tensors.normal.device
    network = build_prnet(backbone, tensors.normal, settings, seed=seed, progress=progress).train()
    optimiser = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    batch = _batches(tensors, settings, Generator().manual_seed(seed))
    started = time.perf_counter()
    lines = []
    for step in range(settings.steps):
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, masks = (part.to(device) for part in batch())
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed_precision):
            logits = network(frozen_stages(backbone, images), masks.shape[-2:])
        loss = prnet_loss(logits.float(), masks, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"PRNet's training diverged: the loss is {value} after {step + 1} steps; lower"
                " learning_rate"
            )
        seconds = time.perf_counter() - started
        lines.append(TrainingStep(step, value, None, value, None, rate, seconds))
        progress("training", step + 1, settings.steps, value)
    return network.eval(), lines


def prnet_loss(logits: Tensor, masks: Tensor, settings: PRNetSettings) -> Tensor:
    """Smooth L1 between probability and mask plus λ · focal loss, each the mean over pixels, a
    scalar (docs/method.md section 4). logits, masks (n, h, w) float.
    """
    smooth = F.smooth_l1_loss(torch.sigmoid(logits), masks)
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    alpha = settings.focal_alpha * masks + (1 - settings.focal_alpha) * (1 - masks)
    focal = alpha * (1 - torch.exp(-entropy)) ** settings.focal_gamma * entropy
    return smooth + settings.focal_weight * focal.mean()


def _batches(
    tensors: TrainingTensors, settings: PRNetSettings, generator: Generator
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Draws a batch at each call: images (n, 3, s, s) float in 0..255 and masks (n, s, s), on the
    CPU. Anomalous ones come first.
    """
    normal, known = tensors.normal.cpu(), tensors.masked.cpu()
    drawn, masks = tensors.anomalous.cpu()[known], tensors.masks.cpu()[known].float()
    textures = None
    if settings.textures:
        textures = read_textures(Path(settings.textures), normal.shape[-1])
    few = anomalous_in_batch(settings)
    made = min(few, round(few * settings.generated)) if len(drawn) else few

    def rows(count: int, many: int) -> Tensor:
        return torch.randint(many, (count,), generator=generator)

    def batch() -> tuple[Tensor, Tensor]:
        real = torch.zeros(0, dtype=torch.int64)
        if few > made:
            real = rows(few - made, len(drawn))
        others = normal[rows(settings.batch - few + made, len(normal))].float()
        changed, shapes = others[:0], masks[:0]
        if made:
            changed, shapes = generate(others[:made], generator, textures)
        empty = torch.zeros(settings.batch - few, *masks.shape[1:])
        images = torch.cat([drawn[real].float(), changed, others[made:]])
        truth = torch.cat([masks[real], shapes, empty])
        return augment(images, truth, draw(settings.batch, settings, generator))

    return batch
