"""Fine-tuning an extractor with a few anomalous images and three auxiliary tasks (METHOD.md section 3). Fixed length: no selection of any kind."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apc_bench.errors import TrainingError
from apc_bench.networks.augment import augment
from apc_bench.networks.backbones import Backbone, normalise
from apc_bench.networks.losses import TASKS, task_losses, total_loss
from apc_bench.networks.unet import UNet
from apc_bench.settings import ApcSettings


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What an extractor is fine-tuned on, already on its device.

    normal (n, 3, s, s) uint8; anomalous (k, 3, s, s) uint8; masks (k, s, s) bool; masked (k,) bool: whether an anomalous image's mask is known.
    """

    normal: Tensor
    anomalous: Tensor
    masks: Tensor
    masked: Tensor


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One line of the training curves: unweighted losses (None: the task is off), the extractor's learning rate, seconds since the start."""

    step: int
    loss: float
    classification: float | None
    segmentation: float | None
    reconstruction: float | None
    rate: float
    seconds: float


def finetune(backbone: Backbone, examples: Examples, settings: ApcSettings, *, seed: int, mixed_precision: bool) -> list[TrainingStep]:
    """Fine-tunes `backbone` in place; returns the training curves.

    AdamW with its own rates for extractor and heads, cosine schedule, a fixed share of anomalous images in each batch.
    `mixed_precision`: forward pass in bfloat16. Deterministic for a seed, a device class and a number of threads.
    Raises TrainingError when the loss stops being finite.
    """
    device = examples.normal.device
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(backbone, skips=settings.skips)
    # Channels last: 15 % less time a step on a CPU, and what tensor cores want.
    network.to(device).to(memory_format=torch.channels_last).train()
    if settings.batch_norm == "frozen":
        _freeze_batch_norm(backbone)
    optimiser = _optimiser(network, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / settings.steps)))
    weight = _positive_weight(examples, settings)
    started = time.perf_counter()
    history: list[tuple[dict[str, Tensor], float, float]] = []
    for images, masks, anomalous, masked in _batches(examples, settings, generator):
        rate = optimiser.param_groups[0]["lr"]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed_precision):
            predicted = network(images)
        losses = task_losses(predicted, images, masks, anomalous, masked, settings, weight)
        loss = total_loss(losses, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        history.append(
            ({task: value.detach() for task, value in losses.items()} | {"loss": loss.detach()}, rate, time.perf_counter() - started)
        )
        if len(history) % 20 == 0 or len(history) == settings.steps:
            _check_finite(history[-1][0]["loss"], len(history))
    backbone.eval()
    return [_line(number, *entry) for number, entry in enumerate(history)]


def _line(number: int, losses: dict[str, Tensor], rate: float, seconds: float) -> TrainingStep:
    values = {task: losses[task].item() if task in losses else None for task in TASKS}
    return TrainingStep(number, losses["loss"].item(), **values, rate=rate, seconds=seconds)


def _check_finite(loss: Tensor, steps: int) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(f"fine-tuning diverged: the loss is {loss.item()} after {steps} steps; lower rate_extractor or rate_heads")


def _freeze_batch_norm(backbone: nn.Module) -> None:
    """Keeps the running statistics; scale and shift still learn."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _optimiser(network: UNet, settings: ApcSettings) -> torch.optim.AdamW:
    groups = [
        {"params": list(network.backbone.parameters()), "lr": settings.rate_extractor},
        {"params": network.head_parameters(), "lr": settings.rate_heads},
    ]
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


def _positive_weight(examples: Examples, settings: ApcSettings) -> float:
    """Normal over anomalous pixels of an average batch, clipped to 1 … positive_weight_max; from training images alone."""
    if not examples.masked.any():
        return 1.0
    share = settings.anomalous_share * examples.masks[examples.masked].float().mean().item()
    return min(max((1 - share) / max(share, 1e-9), 1.0), settings.positive_weight_max)


def _batches(examples: Examples, settings: ApcSettings, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """`settings.steps` batches: normalised images, masks as float, which are anomalous, which masks are known."""
    device = examples.normal.device
    few = min(max(1, round(settings.batch * settings.anomalous_share)), settings.batch - 1)
    from_anomalous = _endless(len(examples.anomalous), few, generator)
    from_normal = _endless(len(examples.normal), settings.batch - few, generator)
    anomalous = torch.arange(settings.batch, device=device) < few
    for _ in range(settings.steps):
        rows, others = next(from_anomalous).to(device), next(from_normal).to(device)
        images = torch.cat([examples.anomalous[rows], examples.normal[others]]).float()
        empty = torch.zeros((len(others), *examples.masks.shape[1:]), device=device)
        masks = torch.cat([examples.masks[rows].float(), empty])
        masked = torch.cat([examples.masked[rows], torch.ones(len(others), dtype=torch.bool, device=device)])
        images, masks = augment(images, masks, settings, generator)
        yield normalise(images).contiguous(memory_format=torch.channels_last), masks, anomalous, masked


def _endless(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of one random order after another, `size` at a time: every image is seen equally often."""
    queue = torch.empty(0, dtype=torch.int64)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        yield queue[:size]
        queue = queue[size:]
