"""Fine-tuning an extractor with a few anomalous images and three auxiliary tasks (docs/method.md
section 3). Fixed length: no selection of any kind.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apc_bench.errors import TrainingError
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.batches import Choice, TrainingTensors, draw_choices, make_batch
from apc_bench.networks.crops import crop_side
from apc_bench.networks.losses import TASKS, task_losses, total_loss
from apc_bench.networks.progress import Progress, untold
from apc_bench.networks.replay import Replayed
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import ApcSettings

CHECKED_EVERY = 20


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One line of the training curves: unweighted losses (None: the task is off), the extractor's
    learning rate, seconds since the start.
    """

    step: int
    loss: float
    classification: float | None
    segmentation: float | None
    reconstruction: float | None
    rate: float
    seconds: float


def finetune(
    backbone: Backbone,
    tensors: TrainingTensors,
    settings: ApcSettings,
    *,
    seed: int,
    mixed_precision: bool,
    progress: Progress = untold,
) -> tuple[UNet, list[TrainingStep]]:
    """Fine-tunes `backbone` in place; returns it with its decoder and heads, and the training
    curves.

    AdamW with its own rates for extractor and heads, cosine schedule, a fixed share of anomalous
    images in each batch. `mixed_precision`: forward pass in bfloat16. Deterministic for a seed, a
    device class and a number of threads. Raises TrainingError when the loss stops being finite.
    """
    device = tensors.normal.device
    choices = draw_choices(tensors, settings, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(backbone, skips=settings.skips)
    # Channels last: 15 % less time a step on a CPU, and what tensor cores want.
    network.to(device).to(memory_format=torch.channels_last).train()
    if settings.batch_norm == "frozen":
        _freeze_batch_norm(backbone)
    learner = _Learner(network, tensors, settings, mixed_precision)
    learn = Replayed(learner) if device.type == "cuda" else learner
    started = time.perf_counter()
    losses, seconds = [], []
    for step in range(settings.steps):
        learner.set_rates(_share_of_rate(step, settings))
        losses.append(learn(*(part[step] for part in choices)))
        seconds.append(time.perf_counter() - started)
        progress("fine-tuning", step + 1, settings.steps, losses[-1][-1])
        if (step + 1) % CHECKED_EVERY == 0 or step + 1 == settings.steps:
            _check_finite(losses[-1][-1], step + 1)
    return network.eval(), _curves(torch.stack(losses), seconds, learner.tasks, settings)


class _Learner:
    """One step of training, in place: a batch of `choice` forward and back, and the optimiser.
    Everything that it reads is on the device.
    """

    def __init__(
        self, network: UNet, tensors: TrainingTensors, settings: ApcSettings, mixed_precision: bool
    ) -> None:
        self.network = network
        self.tensors = tensors
        self.settings = settings
        self.mixed_precision = mixed_precision
        self.device = tensors.normal.device
        self.side = crop_side(settings, tensors.normal.shape[-1])
        self.weight = _positive_weight(tensors, settings)
        self.optimiser, self.rates = _optimiser(network, settings, self.device)
        self.tasks: tuple[str, ...] = ()

    def __call__(self, *choice: Tensor) -> Tensor:
        """The unweighted losses of the tasks that are switched on (`tasks`), and the total."""
        batch = make_batch(
            self.tensors, Choice(*choice), self.side, self.network.backbone.statistics
        )
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            predicted = self.network(batch.images)
        losses = task_losses(predicted, batch, self.settings, self.weight)
        loss = total_loss(losses, self.settings)
        self.tasks = tuple(losses)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return torch.stack([*losses.values(), loss]).detach()

    def set_rates(self, share: float) -> None:
        """Learning rates as a share of those at the start; on a GPU in place, where a recorded step
        finds them.
        """
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * share)
            else:
                group["lr"] = rate * share


def _share_of_rate(step: int, settings: ApcSettings) -> float:
    """The cosine schedule: from 1 to nearly 0."""
    return 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _curves(
    losses: Tensor, seconds: list[float], tasks: tuple[str, ...], settings: ApcSettings
) -> list[TrainingStep]:
    """losses (steps, tasks + 1) -> the lines of the training curves."""
    off: dict[str, float | None] = dict.fromkeys(TASKS)
    lines = []
    for step, (*parts, total) in enumerate(losses.tolist()):
        by_task = off | dict(zip(tasks, parts, strict=True))
        rate = settings.extractor_learning_rate * _share_of_rate(step, settings)
        lines.append(TrainingStep(step, total, **by_task, rate=rate, seconds=seconds[step]))
    return lines


def _check_finite(loss: Tensor, steps: int) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            f"fine-tuning diverged: the loss is {loss.item()} after {steps} steps; lower"
            " extractor_learning_rate or heads_learning_rate"
        )


def _freeze_batch_norm(backbone: nn.Module) -> None:
    """Keeps the running statistics; scale and shift still learn."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _optimiser(
    network: UNet, settings: ApcSettings, device: torch.device
) -> tuple[torch.optim.AdamW, tuple[float, float]]:
    """AdamW and the rates at the start. On a GPU it is one kernel, which keeps its state and rates
    there.
    """
    rates = (settings.extractor_learning_rate, settings.heads_learning_rate)
    parameters = (list(network.backbone.parameters()), network.head_parameters())
    on_gpu = device.type == "cuda"
    groups = []
    for own, rate in zip(parameters, rates, strict=True):
        groups.append({"params": own, "lr": torch.tensor(rate, device=device) if on_gpu else rate})
    optimiser = torch.optim.AdamW(
        groups, weight_decay=settings.weight_decay, fused=on_gpu or None, capturable=on_gpu
    )
    return optimiser, rates


def _positive_weight(tensors: TrainingTensors, settings: ApcSettings) -> float:
    """Normal over anomalous pixels of an average batch of whole images, clipped to 1 …
    positive_weight_max; from training images alone.
    """
    if not tensors.masked.any():
        return 1.0
    share = settings.anomalous_share * tensors.masks[tensors.masked].float().mean().item()
    return min(max((1 - share) / max(share, 1e-9), 1.0), settings.positive_weight_max)
