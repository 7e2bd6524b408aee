"""Trains a model of anomalib by its own training step and optimiser, through Lightning's trainer,
which keeps nothing on the disk and shows nothing.
"""

import math
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from apc_bench.detectors.anomalib.building import Built
from apc_bench.detectors.anomalib.photos import Photos
from apc_bench.detectors.anomalib.surroundings import quiet
from apc_bench.detectors.protocol import Images, Training
from apc_bench.errors import TrainingError
from apc_bench.networks.progress import Progress
from apc_bench.settings.anomalib import AnomalibSettings

CHECKED_EVERY = 20

Curves = list[dict[str, float | None]]


def fit(built: Built, settings: AnomalibSettings, data: Training, normal: Images) -> Curves:
    """Trains in place on `normal` and, where the model can, the drawn images that have a mask; the
    training curves. Its random numbers are torch's, numpy's and Python's.

    Raises TrainingError when the loss stops being finite.
    """
    module = built.module
    scaled = settings.model == "EfficientAd"
    photos = Photos(
        data,
        normal,
        side=built.side,
        anomalous=settings.learns_from_anomalous,
        batch_size=settings.batch_size,
        scaling=scaled,
    )
    batches = len(photos.train_dataloader())
    epochs = settings.epochs or math.ceil((settings.steps or batches) / batches)
    watch = _Watch(data.progress, settings, settings.steps or epochs * batches)
    length = {"max_epochs": epochs, "max_steps": settings.steps or -1}
    with quiet(), _interruptible():
        with _trainer(module, data.device, **length, limit_val_batches=0, callbacks=[watch]) as one:
            one.fit(module, datamodule=photos)
        if scaled:
            with _trainer(module, data.device) as one:
                one.validate(module, datamodule=photos, verbose=False)
    module.to(data.device).eval()
    return watch.curves() if settings.trains else []


@contextmanager
def _trainer(module: Any, device: str, **settings: Any) -> Iterator[Trainer]:
    """Lightning's trainer as the model wants it, without anything that stays."""
    with tempfile.TemporaryDirectory() as folder:
        yield Trainer(
            **{
                "accelerator": "gpu" if device == "cuda" else "cpu",
                "devices": 1,
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "default_root_dir": folder,
                **module.trainer_arguments,
                **settings,
            }
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C stays Ctrl-C: Lightning ends the process with another code, and ignores the next."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


class _Watch(Callback):  # type: ignore[misc]
    """Keeps the losses, tells how far the training is, and ends one that diverges."""

    def __init__(self, progress: Progress, settings: AnomalibSettings, total: int) -> None:
        self.progress, self.settings, self.total = progress, settings, total
        self.losses: list[torch.Tensor] = []
        self.seconds: list[float] = []
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        """After each step."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self.losses.append(loss.detach())
        self.seconds.append(time.perf_counter() - self.started)
        done = len(self.losses)
        if not self.settings.trains:
            self.progress("features", done, self.total)
            return
        self.progress("training", done, self.total, self.losses[-1])
        if done % CHECKED_EVERY == 0 or done == self.total:
            self._check_finite(done)

    def _check_finite(self, done: int) -> None:
        if not torch.isfinite(self.losses[-1]):
            raise TrainingError(
                f"the training of anomalib's {self.settings.model} diverged: the loss is"
                f" {self.losses[-1].item()} after {done} steps"
            )

    def curves(self) -> Curves:
        """The lines of the training curves."""
        losses = torch.stack(self.losses).flatten().tolist()
        return [
            {"step": step, "loss": loss, "seconds": seconds}
            for step, (loss, seconds) in enumerate(zip(losses, self.seconds, strict=True))
        ]
