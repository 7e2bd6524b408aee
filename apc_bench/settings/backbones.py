"""The backbones: of our own one record each, what settings, plan, download and loading know of a
network (a new one is one record here); timm's by their names. Loads no torch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apc_bench.errors import UsageError, unknown
from apc_bench.wording import enumerated

TIMM = "timm/"
"""How the name of a backbone begins that timm has: `timm/vit_small_patch14_dinov2.lvd142m`."""

TIMM_GMACS = 5.0
"""What a backbone of timm is taken to cost, before it is measured: as a ResNet-50 or a small vision
transformer.
"""

_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet-1k, which has its own terms"


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A backbone and the file of its weights (docs/method.md sections 3 and 7).

    `network`: what makes the network, as `module:callable` without arguments; its parts have
    torchvision's names, conv1, bn1, relu, maxpool and those of `layers`. `key_prefix`: how the
    keys of the weights file begin.

    `filename`, `url`: the weights file and its address; None: it is shipped in apc_bench/networks.
    `sha256_prefix`: what is published of its sum; None: the first sum seen is recorded beside the
    file and holds from then on. `size` in bytes is approximate, for messages.

    `gmacs`: 10^9 multiply-accumulates of one 224-pixel image as far as layer3, to order steps and
    to estimate time.
    """

    network: str
    filename: str
    url: str | None
    sha256_prefix: str | None
    size: int
    licence: str
    gmacs: float
    key_prefix: str = ""
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3", "layer4")


def _torchvision(name: str, sha256_prefix: str, *, size: int, gmacs: float) -> BackboneSpec:
    """A network of torchvision, which names its files after the first digits of their sha256."""
    filename = f"{name}-{sha256_prefix}.pth"
    return BackboneSpec(
        network=f"torchvision.models:{name}",
        filename=filename,
        url=_TORCHVISION + filename,
        sha256_prefix=sha256_prefix,
        size=size,
        licence=_TORCHVISION_LICENCE,
        gmacs=gmacs,
    )


BACKBONES: dict[str, BackboneSpec] = {
    "resnet18": _torchvision("resnet18", "f37072fd", size=46_800_000, gmacs=1.4),
    "resnet50": _torchvision("resnet50", "0676ba61", size=102_500_000, gmacs=3.3),
    "wide_resnet50_2": _torchvision("wide_resnet50_2", "95faca4d", size=138_200_000, gmacs=9.2),
    "moco_v3_resnet50": BackboneSpec(
        network="torchvision.models:resnet50",
        key_prefix="module.base_encoder.",
        filename="r-50-1000ep.pth.tar",
        url="https://dl.fbaipublicfiles.com/moco-v3/r-50-1000ep/r-50-1000ep.pth.tar",
        sha256_prefix=None,
        # An estimate: two encoders with projectors, the predictor and the optimiser's state.
        size=410_000_000,
        licence="CC BY-NC 4.0 (non-commercial)",
        gmacs=3.3,
    ),
    "builtin": BackboneSpec(
        network="apc_bench.networks.small_resnet:SmallResNet",
        layers=("layer1", "layer2", "layer3"),
        filename="builtin.safetensors",
        url=None,
        sha256_prefix=None,
        size=1_400_000,
        licence="Apache-2.0",
        gmacs=0.38,
    ),
}

NO_BACKBONE = "none"
"""The backbone of a detector that has a network of its own, which starts without weights."""

EFFICIENT_AD = "anomalib/efficient_ad"
"""The teacher of anomalib's EfficientAd: the backbone of no other system."""

TEACHERS: dict[str, BackboneSpec] = {
    EFFICIENT_AD: BackboneSpec(
        network="",
        layers=(),
        filename="efficientad_pretrained_weights.zip",
        url=(
            "https://github.com/open-edge-platform/anomalib/releases/download/"
            "efficientad_pretrained_weights/efficientad_pretrained_weights.zip"
        ),
        sha256_prefix="c09aeaa2b33f244b3261a5efdaeae8f8284a949470a4c5a526c61275fe62684a",
        size=40_000_000,
        licence="Apache-2.0 (anomalib); distilled on ImageNet, which has its own terms",
        gmacs=60.0,
    )
}
"""Networks whose weights a detector starts from without reading their stages."""

OWN_GMACS = 100.0
"""What a network without a backbone is taken to cost: Draem's two U-nets."""


def is_network(backbone: str) -> bool:
    """Whether it names a network whose stages can be read."""
    return backbone != NO_BACKBONE and backbone not in TEACHERS


def is_timm(backbone: str) -> bool:
    """Whether timm makes the backbone, and not this project."""
    return backbone.startswith(TIMM)


def check_name(backbone: str) -> None:
    """Raises UsageError for a backbone that is neither ours nor named like one of timm's; whether
    timm knows it is known once it is loaded.
    """
    if is_timm(backbone):
        if not re.fullmatch(r"timm/[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)?", backbone):
            raise UsageError(
                f"backbone '{backbone}' is not named like a model of timm: timm/MODEL or"
                " timm/MODEL.WEIGHTS, such as timm/vit_small_patch14_dinov2.lvd142m"
            )
    elif backbone not in BACKBONES and is_network(backbone):
        raise UsageError(
            f"{unknown('backbone', backbone, [*BACKBONES, 'timm/NAME for any of timm'])}"
        )


def check_layers(backbone: str, layers: Sequence[str]) -> None:
    """Raises UsageError for a layer that a backbone of ours does not have; those of timm's are
    known once it is loaded; and for what is no network whose stages can be read.
    """
    if is_timm(backbone):
        return
    if not is_network(backbone):
        raise UsageError(f"backbone '{backbone}' has no layers that this detector could read")
    known = BACKBONES[backbone].layers
    for layer in layers:
        if layer not in known:
            raise UsageError(
                f"backbone '{backbone}' has no {layer}; use layers among {enumerated(known)}"
            )


def gmacs(backbone: str) -> float:
    """10^9 multiply-accumulates of one 224-pixel image; of timm's backbones a guess."""
    if backbone == NO_BACKBONE:
        return OWN_GMACS
    return TIMM_GMACS if is_timm(backbone) else (BACKBONES | TEACHERS)[backbone].gmacs
