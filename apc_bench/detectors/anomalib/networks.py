"""The networks that anomalib's models are built on: what they ask timm for is made here, of the
method's backbone and its weights file, so that nothing starts at random that should not.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import timm
import torch
from torch import Tensor, nn

from apc_bench.errors import UsageError
from apc_bench.networks.backbones import Backbone, ResidualBackbone
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.timm_backbone import TimmBackbone, stages_of
from apc_bench.networks.timm_loading import whole_state
from apc_bench.networks.timm_models import build, network_of
from apc_bench.settings.backbones import BACKBONES, TIMM, is_timm


class Asked:
    """A method's backbone, as anomalib's models ask for it. `loaded`: the networks that were asked
    for with weights, which stay as they are.
    """

    def __init__(self, backbone: str, weights: Path) -> None:
        self.backbone, self.weights = backbone, weights
        self.loaded: list[nn.Module] = []
        self._timms = timm.create_model

    @property
    def name(self) -> str:
        """The network's name in anomalib and timm, without that of its weights."""
        if is_timm(self.backbone):
            return self.backbone.removeprefix(TIMM).partition(".")[0]
        return BACKBONES[self.backbone].network.rpartition(":")[2]

    @contextlib.contextmanager
    def instead_of_timm(self) -> Iterator[None]:
        """What `timm.create_model` is asked for comes from here."""
        with patch.object(timm, "create_model", self.create):
            yield

    def create(
        self,
        model_name: str,
        pretrained: bool = False,
        features_only: bool = False,
        out_indices: Sequence[int] = (),
        **_: Any,
    ) -> nn.Module:
        """As `timm.create_model` does: a network of which some maps are read, or all of it. Raises
        UsageError where that is not the method's backbone, WeightsError as loading does.
        """
        if model_name != self.name:
            raise UsageError(f"it asks for the network '{model_name}', not for '{self.name}'")
        with patch.object(timm, "create_model", self._timms):
            if not features_only:
                network = self._whole(pretrained=pretrained)
            elif pretrained:
                network = Features(load_backbone(self.backbone, self.weights)[0], out_indices)
            else:
                network = Features(self._at_random(), out_indices)
        if pretrained:
            self.loaded.append(network)
        return network

    def _whole(self, *, pretrained: bool) -> nn.Module:
        """timm's model without classifier, which no model reads."""
        if not is_timm(self.backbone):
            raise UsageError(f"it needs a transformer of timm, and not '{self.backbone}'")
        model = build(self.backbone, seed=_drawn_seed())
        if pretrained:
            model.load_state_dict(whole_state(self.backbone, self.weights))
        return model

    def _at_random(self) -> Backbone:
        """The network without weights: to be trained, or only asked for its layers."""
        if not is_timm(self.backbone):
            network: nn.Module = resolve_name(BACKBONES[self.backbone].network)()
            return ResidualBackbone(self.backbone, network)
        model = build(self.backbone, seed=_drawn_seed())
        trained = len(stages_of(self.backbone, model))
        return TimmBackbone(self.backbone, model, network_of(self.backbone), trained=trained)


class Features(nn.Module):
    """A backbone as timm's `features_only` gives it: maps of some stages, by number; all where none
    is named.
    """

    def __init__(self, backbone: Backbone, numbers: Sequence[int]) -> None:
        super().__init__()
        names = backbone.names if isinstance(backbone, TimmBackbone) else backbone.stages
        self.wanted = tuple(names[number] for number in numbers) or names
        backbone.select(self.wanted)
        self.feature_info = _FeatureInfo(
            names,
            [backbone.channels[name] for name in self.wanted],
            [backbone.strides[name] for name in self.wanted],
        )
        backbone.truncate(self.wanted[-1])
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (n, 3, h, w) -> the maps (n, channels, h/stride, w/stride)."""
        maps = self.backbone(images, last=self.wanted[-1])
        return [maps[name] for name in self.wanted]


class _FeatureInfo:
    """What anomalib asks of timm's description: the names of all stages, and of those that are read
    the channels and strides.
    """

    def __init__(
        self, names: Sequence[str], channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        self.info = [{"module": name} for name in names]
        self._channels, self._strides = list(channels), list(strides)

    def channels(self) -> list[int]:
        """Of the maps that are read."""
        return self._channels

    def reduction(self) -> list[int]:
        """Input pixels for each of their pixels."""
        return self._strides


def _drawn_seed() -> int:
    """From torch's own random numbers, which a step's seed decides."""
    return int(torch.randint(2**31 - 1, ()))
