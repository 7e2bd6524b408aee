"""Train the `builtin` backbone on procedural images alone, and write
apc_bench/networks/builtin.safetensors.

The task is dense: at every cell of layer2 and of layer3, name the formula of the texture there and
the marks that touch the cell. Run again with the same flags to go on from the last checkpoint; the
same seed, steps and machine give the same file.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import procedural_images as procedural
import procedural_textures as textures
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from apc_bench.errors import ApcError, UsageError
from apc_bench.networks.small_resnet import SmallResNet

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
OUTPUT = Path(__file__).resolve().parents[1] / "apc_bench" / "networks" / "builtin.safetensors"


@dataclass(frozen=True, slots=True)
class Training:
    """All that the weights depend on. `renew` is the number of steps that one set of fields
    serves.
    """

    seed: int = 1
    steps: int = 4000
    batch: int = 32
    size: int = 96
    side: int = 128
    per_formula: int = 6
    renew: int = 150
    rate: float = 2e-3
    weight_decay: float = 0.02
    mark_weight: float = 4.0


def stages(network: SmallResNet, images: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised images (n, 3, s, s) -> layer2 (n, 64, s/8, s/8) and layer3 (n, 128, s/16,
    s/16).
    """
    stem = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    layer2 = network.layer2(network.layer1(stem))
    return layer2, network.layer3(layer2)


def normalised(images: Tensor) -> Tensor:
    """Images in [0, 1] -> ImageNet's normalisation, the one that every backbone here reads."""
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


class DenseTask(nn.Module):
    """The network with one small head on each stage; `forward` gives, per stage, logits of formulas
    and of marks.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = SmallResNet()
        # Filters blind to the mean tone: with random ones the image's brightness drowns its texture
        # for the first thousands of steps.
        with torch.no_grad():
            self.network.conv1.weight -= self.network.conv1.weight.mean((2, 3), keepdim=True)
        outputs = classes + len(procedural.MARKS)
        self.heads = nn.ModuleList(self._head(width, outputs) for width in (64, 128))

    @staticmethod
    def _head(width: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(width, 256, 1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, outputs, 1),
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (n, 3, s, s) -> logits (n, classes + marks, s/8, s/8) and (.., s/16,
        s/16).
        """
        return [
            head(stage)
            for head, stage in zip(self.heads, stages(self.network, images), strict=True)
        ]


def family_of_formula() -> Tensor:
    """(classes,) int64: the family's number of each formula."""
    names = [formula.name.partition("(")[0] for formula in textures.formulas()]
    families = sorted(set(names))
    return torch.tensor([families.index(name) for name in names])


def dense_loss(
    logits: Tensor, scenes: procedural.Scenes, families: Tensor, mark_weight: float
) -> Tensor:
    """Cross-entropy of formula and of family against each region's share in a cell, plus binary
    cross-entropy of the marks that touch it.
    """
    classes = len(families)
    stride = scenes.images.shape[-1] // logits.shape[-1]
    logits = logits.float()
    shares = F.avg_pool2d(scenes.regions, stride)
    log_probability = F.log_softmax(logits[:, :classes], 1)
    index = scenes.labels[:, :, None, None].expand_as(shares)
    formula = -(log_probability.gather(1, index) * shares).sum(1).mean()
    member = F.one_hot(families).to(logits.dtype)
    log_family = torch.einsum("nchw,cf->nfhw", log_probability.exp(), member).clamp(min=1e-8).log()
    family = -(log_family.gather(1, families[index]) * shares).sum(1).mean()
    touched = F.max_pool2d(scenes.marks, stride)
    return (
        formula
        + family
        + mark_weight * F.binary_cross_entropy_with_logits(logits[:, classes:], touched)
    )


def stream(seed: int, purpose: int, number: int) -> Generator:
    """An independent generator for each seed, purpose and number (torch's own seeding reads 32 bits
    only).
    """
    return Generator().manual_seed(
        int(np.random.SeedSequence((seed, purpose, number)).generate_state(1)[0])
    )


def scene_batches(training: Training, first_step: int) -> Iterator[procedural.Scenes]:
    """Endless batches from `first_step` on; each depends on the seed and its step only."""
    fields, labels, step = torch.empty(0), torch.empty(0), first_step
    while True:
        era = step // training.renew
        if not len(fields) or step % training.renew == 0:
            fields, labels = textures.draw_fields(
                stream(training.seed, 0, era), training.per_formula, training.side
            )
        yield procedural.compose(
            stream(training.seed, 1, step), fields, labels, training.batch, training.size
        )
        step += 1


def resume(checkpoint: Path, training: Training, parts: dict[str, Any]) -> int:
    """Load the parts' states from `checkpoint` where it exists; the number of steps done. Raises
    UsageError for another training's.
    """
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    if state["training"] != repr(training):
        raise UsageError(
            f"{checkpoint} belongs to another training: {state['training']}; remove it, or name"
            " another with --checkpoint"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def save(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write beside the name, then rename: an interruption leaves the last whole checkpoint."""
    unfinished = checkpoint.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(checkpoint)


def train(
    training: Training,
    checkpoint: Path,
    *,
    save_every: int = 250,
    after_step: Callable[[int], None] | None = None,
) -> SmallResNet:
    """Train to the last step, going on from `checkpoint` where it exists; `after_step` is called
    with the steps done.
    """
    torch.manual_seed(training.seed)
    families = family_of_formula()
    task = DenseTask(len(families)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        task.parameters(), lr=training.rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.rate, total_steps=training.steps + 1, pct_start=0.1
    )
    parts: dict[str, Any] = {"task": task, "optimizer": optimizer, "schedule": schedule}
    start = resume(checkpoint, training, parts)
    began = time.monotonic()
    for step, scenes in enumerate(
        itertools.islice(scene_batches(training, start), training.steps - start), start + 1
    ):
        with torch.autocast("cpu", torch.bfloat16):
            logits = task(normalised(scenes.images))
        losses = [dense_loss(stage, scenes, families, training.mark_weight) for stage in logits]
        optimizer.zero_grad()
        torch.autograd.backward(losses)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(
                f"step {step}: layer2 {losses[0]:.3f} layer3 {losses[1]:.3f}"
                f" ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
        if step % save_every == 0:
            save(
                checkpoint,
                {"training": repr(training), "step": step}
                | {name: part.state_dict() for name, part in parts.items()},
            )
        if after_step is not None:
            after_step(step)
    return task.network.eval()


def rescale(network: SmallResNet, layer2: Tensor, layer3: Tensor) -> None:
    """Multiply the channels of layer2's output by `layer2` (64,) > 0 and of layer3's by `layer3`
    (128,) > 0, and nothing else, by folding the factors into batch norms and the convolutions that
    read them: rectified sums scale channel by channel.
    """
    second: Any = network.layer2
    third: Any = network.layer3
    with torch.no_grad():
        for stage, factor, readers in (
            (second, layer2, [second[1].conv1, third[0].conv1, third[0].downsample[0]]),
            (third, layer3, [third[1].conv1]),
        ):
            for norm in (stage[0].downsample[1], stage[0].bn2, stage[1].bn2):
                norm.weight *= factor
                norm.bias *= factor
            for convolution in readers:
                convolution.weight /= factor[None, :, None, None]


def balance(network: SmallResNet, training: Training, batches: int = 8) -> None:
    """Give every channel of a stage the same variance on scenes, and each stage a total of 1:
    distances then heed all channels.

    A channel with less than a hundredth of its stage's mean variance is scaled as if it had that
    much.
    """
    seen: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.inference_mode():
        for scenes in itertools.islice(scene_batches(training, training.steps), batches):
            for values, stage in zip(seen, stages(network, normalised(scenes.images)), strict=True):
                values.append(stage.transpose(0, 1).flatten(1))
    second, third = (torch.cat(values, 1).var(1) for values in seen)
    rescale(
        network,
        *(
            (variance.clamp(min=variance.mean() / 100) * len(variance)).rsqrt()
            for variance in (second, third)
        ),
    )


def write(network: SmallResNet, training: Training, path: Path) -> None:
    """The state dict in float16 (the batch-norm counters stay int64), with its origin as JSON under
    one key of the metadata: of several keys safetensors would choose the order anew each time, and
    equal trainings would give unequal bytes.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    origin = {"script": "scripts/pretrain_builtin.py", "mean": MEAN, "std": STD} | asdict(training)
    metadata = {"origin": json.dumps(origin, sort_keys=True)}
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=Training().seed)
    parser.add_argument("--steps", type=int, default=Training().steps)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--checkpoint", type=Path, default=Path("builtin.checkpoint.pt"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    training = Training(seed=options.seed, steps=options.steps)
    try:
        network = train(training, options.checkpoint)
    except ApcError as error:
        parser.error(str(error))
    balance(network, training)
    write(network, training, options.output)


if __name__ == "__main__":
    main()
