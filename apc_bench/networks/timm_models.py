"""The models of timm: found by name, described by its own configuration, built without weights."""

import difflib
from typing import Any

import torch
from torch import nn

from apc_bench.errors import UsageError
from apc_bench.networks.weights import Network
from apc_bench.settings.backbones import TIMM

INSTALL = (
    "backbone '{}' needs the package timm, which is not installed here: pip install"
    " 'apc-bench[timm]' (in a checkout: .venv/bin/uv pip install --python .venv/bin/python timm)"
)


def configuration(backbone: str) -> Any:
    """timm's `PretrainedCfg` of a backbone: where its weights come from, their licence, mean and
    standard deviation. Raises `UsageError` without timm, and for a name that it does not know.
    """
    timm, name = _timm(backbone), backbone.removeprefix(TIMM)
    model, _, weights = name.partition(".")
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(f'{TIMM}{other}' for other in near)}?" if near else ""
        raise UsageError(
            f"timm {timm.__version__} has no model '{model}'{hint} (python -c \"import timm;"
            ' print(*timm.list_pretrained())" lists them)'
        )
    known = timm.models.get_arch_pretrained_cfgs(model)
    if weights and name not in known:
        names = ", ".join(f"{TIMM}{other}" for other in known) or "none"
        raise UsageError(f"timm {timm.__version__} has no weights '{weights}' of {model}: {names}")
    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if found is None:
        raise UsageError(f"timm {timm.__version__} describes no weights of '{name}'")
    return found


def network_of(backbone: str) -> Network:
    """timm's version, and mean and standard deviation of the images by timm's configuration. Raises
    as `configuration` does.
    """
    found = configuration(backbone)
    return Network(f"timm {_timm(backbone).__version__}", tuple(found.mean), tuple(found.std))


def build(backbone: str, *, seed: int = 0, **weights: Any) -> nn.Module:
    """timm's model without classifier, its weights at random: nothing may read them before they are
    replaced. It takes images of any size where timm can make it so. `weights`: as
    `timm.create_model` takes them.

    Raises `UsageError` as `configuration` does, and for a model that gives no intermediate maps.
    """
    configuration(backbone)
    timm, name = _timm(backbone), backbone.removeprefix(TIMM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = timm.create_model(name, num_classes=0, dynamic_img_size=True, **weights)
        except TypeError:  # a model that has no such choice: any size goes, or only its own
            model = timm.create_model(name, num_classes=0, **weights)
    if not (hasattr(model, "forward_intermediates") and getattr(model, "feature_info", None)):
        raise UsageError(f"backbone '{backbone}': timm gives none of its intermediate maps")
    for module in model.modules():
        # Nothing is dropped at random in a training, as in the backbones of our own.
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, timm.layers.DropPath):
            module.drop_prob = 0.0
    built: nn.Module = model
    return built


def _timm(backbone: str) -> Any:
    try:
        import timm
    except ImportError:
        raise UsageError(INSTALL.format(backbone)) from None
    return timm
