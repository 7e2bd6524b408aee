"""Fine-tuning on a GPU against a plain data-loader loop, its share of the GPU's matrix rate, and
several at once on one GPU.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bench.figure import Figure
from bench.gpu_inputs import CATEGORY, SHOTS, SIZE, category, set_determinism, weights
from PIL import Image
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler
from torch.utils.flop_counter import FlopCounterMode
from torchvision import tv_tensors
from torchvision.transforms import v2

from apc_bench.networks import finetune as product
from apc_bench.networks.backbones import IMAGENET
from apc_bench.networks.batches import Batch, TrainingTensors, draw_choices
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.losses import task_losses, total_loss
from apc_bench.networks.unet import UNet
from apc_bench.settings.detectors import ApcSettings

STEPS = 300
LOADERS = (8, 0)
"""Worker processes of the plain loop: anomalib's default, and PyTorch's."""

PACKED = (1, 4)
SIDE = 8192


def figures() -> list[Figure]:
    """The matrix rates, the product in both precisions, the plain loop, and the throughput of
    several processes.
    """
    rates = matrix_rates()
    set_determinism()
    settings, tensors = ApcSettings(steps=STEPS, crop=None), _examples()
    operations = _operations(tensors, settings)
    _ours(tensors, ApcSettings(steps=8, crop=None), mixed=True)
    seconds = {mixed: _ours(tensors, settings, mixed=mixed) for mixed in (True, False)}
    plain = {
        (count, strict): _plain(settings, count, strict=strict)
        for count in LOADERS
        for strict in (True, False)
    }
    each = seconds[True] / STEPS
    size = f"fine-tuning of ResNet-50 at {SIZE} px, batch {settings.batch}"
    return [
        *(
            Figure(
                what=f"matrix product of {SIDE} × {SIDE} in {name}",
                value=rate / 1e12,
                unit="TFLOP/s",
            )
            for name, rate in rates.items()
        ),
        Figure(
            what=f"{size}, bfloat16, {STEPS} steps from start to weights: each",
            value=1000 * each,
            unit="ms",
        ),
        Figure(
            what=f"{size}, float32, {STEPS} steps from start to weights: each",
            value=1000 * seconds[False] / STEPS,
            unit="ms",
        ),
        *(
            Figure(
                what=(
                    f"{size}, bfloat16: times a data-loader loop on {CATEGORY[1]} px PNG files,"
                    f" {count} worker processes,"
                    " float32"
                    f" {'throughout' if strict else 'with convolutions in TF32, as PyTorch sets it'}"
                ),
                value=whole / each,
                unit="×",
                at_least=8 if strict else None,
                how=(
                    f"{1000 * whole:.0f} ms a step; {1000 * computing:.0f} ms of it once the batch"
                    " is there"
                ),
            )
            for (count, strict), (whole, computing) in plain.items()
        ),
        Figure(
            what=f"{size}: share of the bfloat16 matrix rate",
            value=100 * operations / each / rates["bfloat16"],
            unit="%",
            how=f"{operations / 1e12:.2f} TFLOP a step",
        ),
        *_packed(),
    ]


def matrix_rates() -> dict[str, float]:
    """Floating-point operations per second of a large square product of random numbers."""
    rates = {}
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("TF32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(SIDE, SIDE, device="cuda").to(dtype) for _ in range(2))
        times = []
        for _ in range(8):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(3):
                a @ b
            torch.cuda.synchronize()
            times.append((time.perf_counter() - started) / 3)
        rates[name] = 2 * SIDE**3 / statistics.median(times[2:])
    torch.backends.cuda.matmul.allow_tf32 = False
    return rates


def _examples() -> TrainingTensors:
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(
            0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator
        ).cuda()

    masks = torch.zeros(SHOTS, SIZE, SIZE, dtype=torch.bool)
    masks[:, 64:128, 64:128] = True
    return TrainingTensors(
        images(200), images(SHOTS), masks.cuda(), torch.ones(SHOTS, dtype=torch.bool).cuda()
    )


def _ours(tensors: TrainingTensors, settings: ApcSettings, *, mixed: bool) -> float:
    backbone = load_backbone("resnet50", weights())[0].cuda()
    torch.cuda.synchronize()
    started = time.perf_counter()
    product.finetune(backbone, tensors, settings, seed=0, mixed_precision=mixed)
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _operations(tensors: TrainingTensors, settings: ApcSettings) -> float:
    """Floating-point operations of one step, forward and backward, as torch counts them."""
    network = UNet(load_backbone("resnet50", weights())[0]).cuda().train()
    learner = product._Learner(network, tensors, settings, mixed_precision=True)
    with FlopCounterMode(display=False) as counter:
        learner(*(part[0] for part in draw_choices(tensors, settings, seed=0)))
    return float(counter.get_total_flops())


class _Files(Dataset[tuple[torch.Tensor, torch.Tensor, bool]]):
    """Images and masks from their files, resized, moved and recoloured one by one, as most training
    scripts do.
    """

    def __init__(self) -> None:
        found = category()
        normal = [sample for sample in found.samples if sample.training]
        self.samples = normal + [sample for sample in found.samples if sample.anomalous][:SHOTS]
        self.weights = [0.5 / len(normal)] * len(normal) + [0.5 / SHOTS] * SHOTS
        self.folder = found.folder
        moves = [v2.RandomAffine(5, translate=(0.05, 0.05)), v2.ColorJitter(0.1, 0.1)]
        ends = [
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(*IMAGENET),
        ]
        self.transform = v2.Compose([v2.ToImage(), v2.Resize((SIZE, SIZE)), *moves, *ends])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
        sample = self.samples[row]
        image = Image.open(self.folder / sample.image).convert("RGB")
        mask = (
            np.asarray(Image.open(self.folder / sample.mask))
            if sample.mask
            else np.zeros(image.size[::-1], np.uint8)
        )
        moved, moved_mask = self.transform(
            image, tv_tensors.Mask(torch.from_numpy(mask > 127).float())
        )
        return moved, moved_mask, sample.anomalous


def _plain(
    settings: ApcSettings, workers: int, *, strict: bool, steps: int = 20, warm_up: int = 4
) -> tuple[float, float]:
    """Seconds of a step of the same network, losses and optimiser in float32 behind a data loader;
    and of the step without the waiting for it.

    `strict`: no TF32. Nothing deterministic is asked for, as nothing is by default.
    """
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = not strict
    backbone = load_backbone("resnet50", weights())[0]
    network = UNet(backbone).cuda().train()
    product._freeze_batch_norm(backbone)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4)
    files = _Files()
    sampler = WeightedRandomSampler(files.weights, (warm_up + steps) * settings.batch)
    loader = DataLoader(
        files, settings.batch, sampler=sampler, num_workers=workers, pin_memory=True
    )
    computing = 0.0
    for number, (images, masks, anomalous) in enumerate(loader):
        if number == warm_up:
            torch.cuda.synchronize()
            started, computing = time.perf_counter(), 0.0
        begun = time.perf_counter()
        images, masks, anomalous = images.cuda(), masks.cuda(), anomalous.cuda()
        batch = Batch(images, masks, anomalous, torch.ones_like(anomalous))
        losses = task_losses(network(images), batch, settings, 20.0)
        loss = total_loss(losses, settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # progress bars and loggers do
        computing += time.perf_counter() - begun
    spent = time.perf_counter() - started
    set_determinism()
    return spent / steps, computing / steps


def _packed() -> list[Figure]:
    """Fine-tunings per minute with several processes on the one GPU, as fractional GPUs have it."""
    rates = []
    for count in PACKED:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.gpu_finetuning", folder, str(count)]
            processes = [
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)
            ]
            seconds = [float(process.communicate()[0].split()[-1]) for process in processes]
        rates.append(60 * count / max(seconds))
    how = ", ".join(
        f"{count} at once: {rate:.1f}" for count, rate in zip(PACKED, rates, strict=True)
    )
    return [
        Figure(
            what=f"{PACKED[-1]} fine-tunings at once on one GPU: times the throughput of one",
            value=rates[-1] / rates[0],
            unit="×",
            how=f"a minute: {how}",
        )
    ]


def _one_of_several(folder: Path, count: int) -> None:
    """One process of `_packed`: warms up, waits for the others, prints the seconds of a whole
    fine-tuning.
    """
    torch.set_num_threads(1)
    set_determinism()
    tensors = _examples()
    _ours(tensors, ApcSettings(steps=8, crop=None), mixed=True)
    (folder / str(time.time_ns())).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.01)
    print(_ours(tensors, ApcSettings(steps=STEPS, crop=None), mixed=True))


if __name__ == "__main__":
    _one_of_several(Path(sys.argv[1]), int(sys.argv[2]))
