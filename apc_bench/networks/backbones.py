"""Backbones: residual networks read stage by stage, and the loading of their weights files."""

import pickle
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from apc_bench.errors import UsageError, WeightsError, listed, unknown
from apc_bench.networks.small_resnet import SmallResNet

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
STRIDES = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "wide_resnet50_2": models.wide_resnet50_2,
    "moco_v3_resnet50": models.resnet50,
    "builtin": SmallResNet,
}

# How the keys of a backbone's published file begin; torchvision's have no prefix. docs/method.md
# section 3.
_PREFIXES = {"moco_v3_resnet50": "module.base_encoder."}


class Backbone(nn.Module):
    """A residual network without its classifier, whose stages' maps can be read; its state dict has
    torchvision's names.

    `stages` are those present, in order; `channels` and `strides` (input pixels per map pixel) have
    one entry for each. The stem is the map before max pooling. `untrained` are the stages that the
    weights file had nothing for: they are not part of the module.
    """

    def __init__(self, name: str, network: nn.Module, *, untrained: tuple[str, ...] = ()) -> None:
        """Take over `network`'s conv1, bn1, relu, maxpool and those of layer1 to layer4 that it has
        and that are trained.
        """
        super().__init__()
        self.name = name
        self.untrained = untrained
        self.conv1 = network.get_submodule("conv1")
        self.bn1 = network.get_submodule("bn1")
        self.relu = network.get_submodule("relu")
        self.maxpool = network.get_submodule("maxpool")
        self.stages = (
            "stem",
            *(stage for stage in STAGES[1:] if hasattr(network, stage) and stage not in untrained),
        )
        for stage in self.stages[1:]:
            self.add_module(stage, network.get_submodule(stage))
        self.channels = {
            stage: _width(self.bn1 if stage == "stem" else self.get_submodule(stage))
            for stage in self.stages
        }
        self.strides = {stage: STRIDES[stage] for stage in self.stages}

    def forward(self, images: Tensor, *, last: str) -> dict[str, Tensor]:
        """Normalised images (n, 3, h, w) -> per stage up to `last` its map (n, channels, h/stride,
        w/stride), sizes rounded up.

        Raises `UsageError` for a stage that this network does not have, `WeightsError` for one that
        is not trained.
        """
        self.require(last)
        out = self.relu(self.bn1(self.conv1(images)))
        maps = {"stem": out}
        for stage in self.stages[1 : self.stages.index(last) + 1]:
            out = self.get_submodule(stage)(self.maxpool(out) if stage == "layer1" else out)
            maps[stage] = out
        return maps

    def truncate(self, last: str) -> None:
        """Drop the stages after `last`, so that they are neither stored nor counted. Raises as
        `forward` does.
        """
        self.require(last)
        kept = self.stages[: self.stages.index(last) + 1]
        for stage in self.stages[len(kept) :]:
            delattr(self, stage)
        self.stages = kept
        self.channels = {stage: self.channels[stage] for stage in kept}
        self.strides = {stage: self.strides[stage] for stage in kept}

    def require(self, stage: str) -> None:
        """Raises `UsageError` for a stage that this network does not have, `WeightsError` for one
        that is not trained.
        """
        if stage in self.untrained:
            raise WeightsError(
                f"backbone '{self.name}' has no trained {stage}: its weights file holds only"
                f" {listed(self.stages)}; use layers among these, or name a whole file with"
                " --weights FILE"
            )
        if stage not in self.stages:
            raise UsageError(f"backbone '{self.name}': {unknown('stage', stage, self.stages)}")


def normalise(images: Tensor) -> Tensor:
    """Images (n, 3, h, w), uint8 or float from 0 to 255 -> float32 with ImageNet's mean and
    standard deviation, on the same device.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected images (n, 3, h, w), got {tuple(images.shape)}")
    mean, std = _statistics(images.device)
    return (images.to(torch.float32) / 255).sub_(mean).div_(std)


@cache
@torch.inference_mode(False)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """ImageNet's mean and standard deviation, copied to the device once: a copy makes the CPU wait
    for a GPU.
    """
    return torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1), torch.tensor(
        IMAGENET_STD, device=device
    ).view(3, 1, 1)


def load_backbone(name: str, weights: Path) -> tuple[Backbone, list[str]]:
    """The backbone with the weights of a file, in evaluation mode, on the CPU, in float32; and what
    the user should know of the file.

    The file is a state dict (`torch.save`, plain or under `state_dict`, or `.safetensors`) in
    torchvision's layout; for moco_v3_resnet50 MoCo v3's checkpoint, of which the base encoder is
    taken, or that encoder alone. `fc.*` is ignored. Deepest stages that are missing altogether
    become `untrained`. Nothing is initialised at random: every tensor is the file's, but for batch
    norm's `num_batches_tracked`, which older files lack.

    Raises `UsageError` for an unknown name, `WeightsError` for a file that is missing, damaged,
    holds objects other than tensors, is of another network, has another prefix, lacks part of a
    stage, or has values that are not finite.
    """
    if name not in BACKBONES:
        raise UsageError(unknown("backbone", name, BACKBONES))
    content = _read(weights)
    state, messages = _encoder(name, content, weights)
    if fault := _mismatch(name, state):
        raise WeightsError(
            f"weights {weights} are not of backbone '{name}': {fault}{_hint(content)}"
        )
    untrained = _missing_stages(name, state, weights)
    backbone = Backbone(name, _blueprint(name), untrained=untrained)
    backbone.load_state_dict(_tensors_for(backbone, state, weights), assign=True)
    if untrained:
        messages.append(_partial_message(backbone, weights))
    return backbone.eval(), messages


def _width(module: nn.Module) -> int:
    return [part.num_features for part in module.modules() if isinstance(part, nn.BatchNorm2d)][-1]


def _blueprint(name: str) -> nn.Module:
    """The network without values: what the weights file does not fill cannot be used, and no random
    number is drawn.
    """
    with torch.device("meta"):
        return BACKBONES[name]()


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, from its `state_dict` entry where it has one. Executes nothing that
    the file holds.
    """
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except MemoryError:
        raise
    # What a reader raises on foreign bytes is not documented, and differs between formats and
    # versions.
    except Exception as error:
        raise WeightsError(f"cannot read weights {path}: {_fault(error)}") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and _is_plain(value) for key, value in state.items()
    ):
        got = (
            f"entries {listed(map(repr, state))}"
            if isinstance(state, Mapping)
            else f"a {type(state).__name__}"
        )
        raise WeightsError(
            f"{path} holds no state dict of plain tensors, but {got}: save the network's"
            " state_dict()"
        )
    return dict(state)


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _fault(error: Exception) -> str:
    # The reader's own text would advise to load with code allowed.
    found = (
        re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError)
        else None
    )
    if found:
        return (
            f"it holds pickled code or objects ({found[1]!r}), which are never loaded; save the"
            " network's state_dict() instead"
        )
    return "it is damaged, or not a weights file of torch or safetensors; fetch it again"


def _encoder(
    name: str, content: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """The encoder's tensors under torchvision's names, without classifier or projector."""
    expected, found = _PREFIXES.get(name, ""), _prefixes(content)
    if expected in found:
        return _without_head(content, expected), []
    if "" in found and "fc.weight" not in content:
        return _without_head(content, ""), [
            f"{path.name} holds a plain encoder, taken for that of backbone '{name}'"
        ]
    if "" in found:
        raise WeightsError(
            f"weights {path} have a classifier (fc.weight), which '{name}' has not{_hint(content)}"
        )
    if not found:
        raise WeightsError(
            f"weights {path} are of no residual network: they have no 'conv1.weight' beside a"
            " 'bn1.weight'"
        )
    wanted = f"'{expected}'" if expected else "no prefix"
    raise WeightsError(
        f"weights {path} have keys with the prefix {listed(map(repr, found))}, expected {wanted}"
        f" for '{name}'{_hint(content)}"
    )


def _prefixes(content: Mapping[str, Tensor]) -> list[str]:
    """What precedes the stem's names, '' in torchvision's layout. (The blocks of the layers have a
    conv1 and a bn1 too.)
    """
    stems = (
        key.removesuffix("conv1.weight")
        for key in content
        if re.fullmatch(r"(.*\.)?conv1\.weight", key)
    )
    return sorted(
        stem
        for stem in stems
        if stem + "bn1.weight" in content and not re.search(r"layer\d\.\d+\.$", stem)
    )


def _without_head(content: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    encoder = {
        key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)
    }
    return {key: value for key, value in encoder.items() if not key.startswith("fc.")}


def _shapes(name: str) -> dict[str, torch.Size]:
    return {
        key: value.shape for key, value in _without_head(_blueprint(name).state_dict(), "").items()
    }


def _mismatch(name: str, state: Mapping[str, Tensor]) -> str | None:
    """The first tensor that the network does not have, or has in another shape or kind."""
    shapes = _shapes(name)
    for key, tensor in state.items():
        if key not in shapes:
            return f"it has no {key!r}"
        if tensor.shape != shapes[key]:
            return f"{key!r} is {tuple(tensor.shape)}, expected {tuple(shapes[key])}"
        if not tensor.is_floating_point() and not key.endswith("num_batches_tracked"):
            return f"{key!r} is {tensor.dtype}, expected floating point"
    return None


def _hint(content: Mapping[str, Tensor]) -> str:
    """Which known backbone a file fits, as the end of a message; empty where it fits none."""
    found = _prefixes(content)
    expected = {name: _PREFIXES.get(name, "") for name in BACKBONES}
    fits = [
        name
        for name, prefix in expected.items()
        if prefix in found and _mismatch(name, _without_head(content, prefix)) is None
    ]
    return f"; they fit backbone '{fits[0]}'" if fits else ""


def _missing_stages(name: str, state: Mapping[str, Tensor], path: Path) -> tuple[str, ...]:
    """The deepest stages, those that the file has nothing for. A stage that is there in part, or a
    gap, is an error.
    """
    missing: dict[str, list[str]] = {}
    there = {_stage_of(key) for key in state}
    for key in _shapes(name):
        if key not in state and not key.endswith("num_batches_tracked"):
            missing.setdefault(_stage_of(key), []).append(key)
    for stage, keys in missing.items():
        if stage in there:
            raise WeightsError(
                f"weights {path} hold only a part of {stage}: {listed(map(repr, keys), 3)} missing;"
                " fetch the file again"
            )
    untrained = tuple(stage for stage in STAGES if stage in missing)
    stages = [stage for stage in STAGES if stage in missing or stage in there]
    if untrained and tuple(stages[-len(untrained) :]) != untrained:
        raise WeightsError(
            f"weights {path} have {stages[-1]} but nothing for {listed(untrained)}: only the"
            " deepest stages may be missing"
        )
    return untrained


def _stage_of(key: str) -> str:
    first = key.split(".", 1)[0]
    return "stem" if first in ("conv1", "bn1") else first


def _tensors_for(backbone: Backbone, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Every tensor of the backbone in its own memory (a file may share one among several names),
    floats as float32.
    """
    tensors = {}
    for key, blank in backbone.state_dict().items():
        value = state[key] if key in state else torch.zeros((), dtype=blank.dtype)
        if not torch.isfinite(value).all():
            raise WeightsError(
                f"weights {path}: '{key}' holds values that are not finite; fetch the file again"
            )
        tensors[key] = value.detach().to(
            blank.dtype, copy=True, memory_format=torch.contiguous_format
        )
    return tensors


def _partial_message(backbone: Backbone, path: Path) -> str:
    missing, last = listed(backbone.untrained), backbone.stages[-1]
    return (
        f"{path.name} has nothing for {missing}: detectors on"
        f" {listed(backbone.stages[1:]) or 'the stem'} work in full; {missing} cannot be used, and"
        f" the decoder and classifier of fine-tuning start at {last}"
    )
