"""Loading a weights file into a model of timm. Every value that is read is the file's: what a file
lacks is an error, or a stage that cannot be used.
"""

from pathlib import Path

import torch

from apc_bench.errors import WeightsError, listed
from apc_bench.networks.state_files import State, read_state, tensors_for, unwrapped
from apc_bench.networks.timm_backbone import TimmBackbone, stages_of
from apc_bench.networks.timm_models import build, configuration, network_of


def load_timm(name: str, weights: Path) -> tuple[TimmBackbone, list[str]]:
    """The backbone with the weights of a file, in evaluation mode, on the CPU, in float32; and what
    the user should know of the file.

    The file has timm's names, or those of the weights' authors where timm translates them (as of
    DINOv2). The classifier is ignored. Deepest stages that are missing altogether become
    `untrained`. Raises as loading.load_backbone does.
    """
    state, messages = _without_classifier(name, weights)
    model = build(name)
    blanks = model.state_dict()
    fault = _mismatch(state, blanks)
    if fault:
        state = _translated(name, state, f"weights {weights} are not of backbone '{name}': {fault}")
        messages.append(f"{weights.name}: its names or sizes are others, which timm translated")
    stages = list(stages_of(name, model))
    trained = _trained(stages, blanks, state, weights)
    tensors = dict(blanks)
    for key, blank in blanks.items():
        if blank.is_floating_point():
            # Not read by any stage that is trained; if it were, no score would be a number.
            tensors[key] = torch.full_like(blank, torch.nan)
    given = {key: blank for key, blank in blanks.items() if key in state}
    model.load_state_dict(tensors | tensors_for(given, state, weights), assign=True)
    backbone = TimmBackbone(name, model, network_of(name), trained=trained)
    if backbone.untrained:
        missing = listed(backbone.untrained)
        messages.append(f"{weights.name} has nothing for {missing}: {missing} cannot be used")
    return backbone.eval(), messages


def whole_state(name: str, weights: Path) -> dict[str, torch.Tensor]:
    """Every tensor of timm's model without its classifier (timm_models.build) from a file, which
    may be of the kinds that `load_timm` takes. Raises as it does, and `WeightsError` where one is
    missing.
    """
    state, _ = _without_classifier(name, weights)
    blanks = build(name).state_dict()
    fault = _mismatch(state, blanks)
    if fault:
        state = _translated(name, state, f"weights {weights} are not of backbone '{name}': {fault}")
    missing = [key for key in blanks if key not in state and blanks[key].is_floating_point()]
    if missing:
        raise WeightsError(
            f"weights {weights} hold only a part of the network: {listed(map(repr, missing), 3)}"
            " missing; fetch the file again"
        )
    return tensors_for(blanks, state, weights)


def _without_classifier(name: str, weights: Path) -> tuple[State, list[str]]:
    """The file's tensors without wrappers' prefixes and the classifier, and what was left out."""
    state, wrapper = unwrapped(read_state(weights, ("state_dict", "model")))
    heads = configuration(name).classifier or ()
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    kept = {key: value for key, value in state.items() if not key.startswith(prefixes)}
    if not wrapper:
        return kept, []
    return kept, [f"{weights.name}: '{wrapper}' before every name is left out, a wrapper's"]


def _mismatch(state: State, blanks: State) -> str | None:
    """The first tensor that the model does not have, or has in another shape or kind."""
    for key, tensor in state.items():
        if key not in blanks:
            return f"it has no {key!r}"
        if tensor.shape != blanks[key].shape:
            return f"{key!r} is {tuple(tensor.shape)}, expected {tuple(blanks[key].shape)}"
        if blanks[key].is_floating_point() and not tensor.is_floating_point():
            return f"{key!r} is {tensor.dtype}, expected floating point"
    return None if state else "they hold no tensor"


def _translated(name: str, state: State, fault: str) -> State:
    """The state as timm itself translates it for the model. Raises `WeightsError` with the fault
    where timm cannot, or leaves anything at random.
    """
    source = {"state_dict": dict(state), "num_classes": 0, "classifier": None, "custom_load": False}
    found = []
    for seed in (1, 2):
        try:
            model = build(name, seed=seed, pretrained=True, pretrained_cfg_overlay=source)
        # What a model's translation raises on foreign names is not documented.
        except Exception as error:
            raise WeightsError(fault) from error
        found.append(model.state_dict())
    for key, value in found[0].items():
        if not torch.equal(value, found[1][key]):
            raise WeightsError(f"{fault}; and there is nothing for {key!r}")
    return found[0]


def _trained(stages: list[str], blanks: State, state: State, path: Path) -> int:
    """How many of the stages have all their tensors in the file, from the first one on. Raises
    `WeightsError` where one that comes before them, or a part of one, is missing.
    """
    keys = [key for key, blank in blanks.items() if blank.is_floating_point()]
    trained = len(stages)
    while trained:
        own = _under(stages[trained - 1], keys)
        if not own or any(key in state for key in own):
            break
        trained -= 1
    needed = keys
    if trained < len(stages):
        needed = keys[: keys.index(_under(stages[trained], keys)[0])]
    elif _under(stages[-1], keys):
        needed = keys[: keys.index(_under(stages[-1], keys)[-1]) + 1]
    missing = [key for key in needed if key not in state]
    if missing or not trained:
        raise WeightsError(
            f"weights {path} hold only a part of the network: {listed(map(repr, missing), 3)}"
            " missing; fetch the file again"
        )
    return trained


def _under(stage: str, keys: list[str]) -> list[str]:
    return [key for key in keys if key.startswith(f"{stage}.")]
