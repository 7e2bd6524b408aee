"""Loading a weights file into a backbone: what the file holds is checked before any of it is used.

Executes nothing that a file holds, and initialises nothing at random.
"""

import re
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import Tensor, nn

from apc_bench.errors import UsageError, WeightsError, listed, unknown
from apc_bench.networks.backbones import STAGES, Backbone, ResidualBackbone
from apc_bench.networks.state_files import State, read_state, tensors_for, unwrapped
from apc_bench.settings.backbones import BACKBONES, is_timm

STRIP = (
    "; save it without: torch.save({k.removeprefix(PREFIX): v for k, v in state.items()"
    " if k.startswith(PREFIX)}, FILE)"
)


def load_backbone(name: str, weights: Path) -> tuple[Backbone, list[str]]:
    """The backbone with the weights of a file, in evaluation mode, on the CPU, in float32; and what
    the user should know of the file.

    The file is a state dict (`torch.save`, plain or under `state_dict`, or `.safetensors`) in
    torchvision's layout, also as DataParallel and torch.compile name it; for moco_v3_resnet50 MoCo
    v3's checkpoint, of which the base encoder is taken, or that encoder alone; for a backbone of
    timm in timm's layout or any that timm itself can read. The classifier (`fc.*`) is ignored.
    Deepest stages that are missing altogether become `untrained`. Every tensor is the file's, but
    for batch norm's `num_batches_tracked`, which older files lack.

    Raises `UsageError` for an unknown name or without timm, `WeightsError` for a file that is
    missing, damaged, holds objects other than tensors, is of another network, has another prefix,
    lacks part of a stage, or has values that are not finite.
    """
    if is_timm(name):
        # Loads timm, which is not always installed.
        from apc_bench.networks.timm_loading import load_timm

        return load_timm(name, weights)
    if name not in BACKBONES:
        raise UsageError(unknown("backbone", name, BACKBONES))
    content = read_state(weights)
    state, messages = _encoder(name, content, weights)
    mismatch = _mismatch(name, state)
    if mismatch:
        raise WeightsError(
            f"weights {weights} are not of backbone '{name}': {mismatch}{_hint(content)}"
        )
    untrained = _missing_stages(name, state, weights)
    backbone = ResidualBackbone(name, _blueprint(name), untrained=untrained)
    backbone.load_state_dict(tensors_for(backbone.state_dict(), state, weights), assign=True)
    if untrained:
        messages.append(_partial_message(backbone, weights))
    return backbone.eval(), messages


def _blueprint(name: str) -> nn.Module:
    """The network without values: what the weights file does not fill cannot be used, and no random
    number is drawn.
    """
    make_network = resolve_name(BACKBONES[name].network)
    with torch.device("meta"):
        network: nn.Module = make_network()
    return network


def _encoder(name: str, content: State, path: Path) -> tuple[State, list[str]]:
    """The encoder's tensors under torchvision's names, without classifier or projector; and what
    the user should know of them.
    """
    expected, prefixes = BACKBONES[name].key_prefix, _prefixes(content)
    if not expected and "" not in prefixes:
        bare, wrapper = unwrapped(content)
        if "" in _prefixes(bare):
            said = f"{path.name}: '{wrapper}' before every name is left out, a wrapper's"
            return _without_head(bare, ""), [said]
    if expected in prefixes:
        return _without_head(content, expected), []
    if "" in prefixes and "fc.weight" not in content:
        message = f"{path.name} holds a plain encoder, taken for that of backbone '{name}'"
        return _without_head(content, ""), [message]
    if "" in prefixes:
        raise WeightsError(
            f"weights {path} have a classifier (fc.weight), which '{name}' has not{_hint(content)}"
        )
    if not prefixes:
        raise WeightsError(
            f"weights {path} are of no residual network: they have no 'conv1.weight' beside a"
            " 'bn1.weight'"
        )
    wanted = f"'{expected}'" if expected else "no prefix"
    raise WeightsError(
        f"weights {path} have keys with the prefix {listed(map(repr, prefixes))}, expected {wanted}"
        f" for '{name}'{_hint(content) or STRIP}"
    )


def _prefixes(content: State) -> list[str]:
    """What precedes the stem's names, '' in torchvision's layout. (The blocks of the layers have a
    conv1 and a bn1 too.)
    """
    prefixes = []
    for key in content:
        match = re.fullmatch(r"(|.*\.)conv1\.weight", key)
        if match and match[1] + "bn1.weight" in content:
            in_a_block = re.search(r"layer\d\.\d+\.$", match[1])
            if not in_a_block:
                prefixes.append(match[1])
    return sorted(prefixes)


def _without_head(content: State, prefix: str) -> dict[str, Tensor]:
    """What stands under the prefix, without it and without the classifier."""
    encoder = {}
    for key, value in content.items():
        if key.startswith(prefix) and not key.startswith(prefix + "fc."):
            encoder[key.removeprefix(prefix)] = value
    return encoder


def _shapes(name: str) -> dict[str, torch.Size]:
    encoder = _without_head(_blueprint(name).state_dict(), "")
    return {key: value.shape for key, value in encoder.items()}


def _mismatch(name: str, state: State) -> str | None:
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


def _hint(content: State) -> str:
    """Which known backbone a file fits, as the end of a message; empty where it fits none."""
    prefixes = _prefixes(content)
    for name, spec in BACKBONES.items():
        encoder = _without_head(content, spec.key_prefix)
        if spec.key_prefix in prefixes and _mismatch(name, encoder) is None:
            return f"; they fit backbone '{name}'"
    return ""


def _missing_stages(name: str, state: State, path: Path) -> tuple[str, ...]:
    """The deepest stages, those that the file has nothing for. A stage that is there in part, or a
    gap, is an error.
    """
    missing: dict[str, list[str]] = {}
    present = {_stage_of(key) for key in state}
    for key in _shapes(name):
        if key not in state and not key.endswith("num_batches_tracked"):
            missing.setdefault(_stage_of(key), []).append(key)
    for stage, keys in missing.items():
        if stage in present:
            raise WeightsError(
                f"weights {path} hold only a part of {stage}: {listed(map(repr, keys), 3)} missing;"
                " fetch the file again"
            )
    untrained = tuple(stage for stage in STAGES if stage in missing)
    deepest = max(present, key=STAGES.index)
    if untrained and STAGES.index(untrained[0]) < STAGES.index(deepest):
        raise WeightsError(
            f"weights {path} have {deepest} but nothing for {listed(untrained)}: only the"
            " deepest stages may be missing"
        )
    return untrained


def _stage_of(key: str) -> str:
    first = key.split(".", 1)[0]
    return "stem" if first in ("conv1", "bn1") else first


def _partial_message(backbone: Backbone, path: Path) -> str:
    missing, last = listed(backbone.untrained), backbone.stages[-1]
    usable = listed(backbone.stages[1:]) or "the stem"
    return (
        f"{path.name} has nothing for {missing}: detectors on {usable} work in full; {missing}"
        f" cannot be used, and the decoder and classifier of fine-tuning start at {last}"
    )
