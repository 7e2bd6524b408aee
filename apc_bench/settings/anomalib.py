"""Settings of anomalib's models (docs/anomalib.md): which model, how long it is trained, what its
constructor takes. Loads neither anomalib nor torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.backbones import EFFICIENT_AD, NO_BACKBONE, is_network, is_timm
from apc_bench.settings.base import DetectorSettings, Layer

ANOMALIB = "anomalib"
"""The detector's name."""

PACKAGES = ("anomalib", "lightning", "timm")
"""What computes its results; their versions are part of every result's key."""

INSTALL = (
    "detector 'anomalib' needs the package anomalib, which is not installed here: pip install"
    " 'apc-bench[anomalib]' (in a checkout: .venv/bin/uv pip install --python .venv/bin/python"
    " anomalib)"
)

IMAGENETTE = "ImageNette (1.5 GB, https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz)"
TEXTURES = (
    "the Describable Textures (600 MB,"
    " https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz)"
)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a model beside its constructor.

    `backbone`: anomalib's own choice. `layers`: the stages that it reads by default; `some_layers`:
    how many others a user may name, 0 for none. `epochs` or `steps`: of its training as in
    anomalib's examples or its paper; neither: it is fitted in one pass. `batch_size`: as
    anomalib's. `multiple`, `least`: what an image's side must be, in pixels. `images`: photos that
    it needs beside those of the dataset. `unit`: of its maps.
    """

    backbone: str
    layers: tuple[str, ...] = ()
    some_layers: int = 0
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    multiple: int = 1
    least: int = 1
    images: str | None = None
    unit: str = "distance"

    @property
    def trains(self) -> bool:
        """Whether it learns by gradients, and not in one pass."""
        return self.epochs is not None or self.steps is not None


DEEP = ("layer2", "layer3")
THREE = ("layer1", "layer2", "layer3")
ANY = 9

MODELS: Mapping[str, ModelSpec] = {
    "Padim": ModelSpec("resnet18", THREE, ANY),
    "Patchcore": ModelSpec("wide_resnet50_2", DEEP, ANY),
    "Dfm": ModelSpec("resnet50", ("layer3",), 1, unit="squared distance"),
    "Stfpm": ModelSpec("resnet18", THREE, ANY, epochs=100),
    "ReverseDistillation": ModelSpec("wide_resnet50_2", THREE, epochs=200, multiple=32),
    "Fastflow": ModelSpec("resnet18", THREE, epochs=500, multiple=16, unit="logit"),
    "EfficientAd": ModelSpec(
        EFFICIENT_AD, steps=70000, batch_size=1, multiple=4, least=256, images=IMAGENETTE
    ),
    "Draem": ModelSpec(NO_BACKBONE, epochs=700, multiple=32, images=TEXTURES, unit="probability"),
    "Dinomaly": ModelSpec("timm/vit_base_patch14_reg4_dinov2.lvd142m", steps=5000),
    # Its generated anomalies need a grid of more than 16, which is a quarter of the side.
    "Supersimplenet": ModelSpec(
        "wide_resnet50_2", DEEP, ANY, epochs=300, least=72, unit="probability"
    ),
}
"""By the names of their classes in anomalib.models."""

USUAL = "Supersimplenet"
"""The model where none is named: the one that learns from anomalous images, too."""

_BY_LOWER = {name.lower(): name for name in MODELS}


def model_named(name: str) -> str | None:
    """The model of that name, in whatever case; None where there is none."""
    return _BY_LOWER.get(name.lower())


OURS = {
    "backbone": "the method's backbone",
    "encoder_name": "the method's backbone",
    "layers": "the setting layers",
    "layer": "the setting layers",
    "imagenet_dir": "the setting images",
    "dtd_dir": "the setting images",
    "pre_trained": "always true here",
    "precision": "always float32 here",
    "pre_processor": "anomalib's, at the sweep's size",
    "post_processor": "none, since scores are evaluated as they are",
    "evaluator": "none, since metrics are apc-bench's",
    "visualizer": "none, since the page is apc-bench's",
}
"""Arguments of the models' constructors that are given otherwise -> how."""


class AnomalibSettings(DetectorSettings):
    """A model of anomalib under this project's protocol (docs/anomalib.md): fixed length, no look
    at the test set, its scores as they come out of it.
    """

    model: str = USUAL
    """A model of anomalib, by the name of its class; `apc-bench methods anomalib` names them."""
    layers: tuple[Layer, ...] = DEEP
    """Stages of the backbone that are read, shallow first; by default the model's own."""
    sigma: float = Field(0.0, ge=0, le=64)
    """Standard deviation of a further Gaussian smoothing of its maps, in pixels of the input."""
    epochs: int | None = Field(None, ge=1)
    """Passes over what it is trained on; by default the model's own."""
    steps: int | None = Field(None, ge=1)
    """Steps of the optimiser, instead of epochs."""
    batch_size: int = Field(32, ge=1)
    """Images of a training's step; by default the model's own."""
    images: str | None = None
    """A folder of folders of other photos, which EfficientAd and Draem learn from beside."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the model's constructor in anomalib."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_model_is(cls, values: Any) -> Any:
        """With the model's own values where none are given."""
        if not isinstance(values, dict):
            return values
        name = _BY_LOWER.get(str(values.get("model", USUAL)).lower())
        if name is None:
            return values
        spec = MODELS[name]
        usual: dict[str, Any] = {"layers": spec.layers, "batch_size": spec.batch_size}
        if values.get("epochs") is None and values.get("steps") is None:
            usual |= {"epochs": spec.epochs, "steps": spec.steps}
        return usual | {key: value for key, value in values.items() if value is not None}

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        if name.lower() not in _BY_LOWER:
            raise ValueError(unknown("model of anomalib", name, MODELS))
        return _BY_LOWER[name.lower()]

    @field_validator("layers")
    @classmethod
    def _ordered(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        return super()._ordered(layers) if layers else layers

    @model_validator(mode="after")
    def _fits_the_model(self) -> Self:
        spec, name = self.spec, f"anomalib's {self.model}"
        if self.layers != spec.layers and not 1 <= len(self.layers) <= spec.some_layers:
            wanted = "takes one layer" if spec.some_layers else "chooses its layers itself"
            raise ValueError(f"{name} {wanted} (got layers {list(self.layers)})")
        if self.epochs and self.steps:
            raise ValueError("give epochs or steps, not both")
        if (self.epochs or self.steps) and not spec.trains:
            raise ValueError(f"{name} is fitted in one pass: leave epochs and steps out")
        if self.batch_size != 1 and self.model == "EfficientAd":
            raise ValueError(f"{name} is trained image by image: leave batch_size out")
        if self.steps == 1 and self.model == "EfficientAd":
            raise ValueError(f"{name} lowers its rate after 95 % of its steps: give 2 or more")
        if spec.images and not self.images:
            raise ValueError(
                f"{name} learns from other photos, too: fetch {spec.images}, unpack it, and name"
                " the folder with the setting images"
            )
        if self.images and not spec.images:
            raise ValueError(f"{name} learns from no other photos: leave images out")
        self._check_arguments()
        return self

    def _check_arguments(self) -> None:
        for argument in self.model_args:
            if argument in OURS:
                raise ValueError(f"model_args: {argument} is no choice here: {OURS[argument]}")
        if self.model == "Dfm" and self.model_args.get("score_type", "fre") != "fre":
            raise ValueError("model_args: only score_type fre of anomalib's Dfm gives a map")

    @property
    def spec(self) -> ModelSpec:
        """Of its model."""
        return MODELS[self.model]

    @property
    def trains(self) -> bool:
        """Whether the model learns by gradients."""
        return self.spec.trains

    @property
    def learns_from_anomalous(self) -> bool:
        """Only SuperSimpleNet can, in its supervised form."""
        return self.model == "Supersimplenet" and bool(self.model_args.get("supervised"))

    @property
    def without_masks(self) -> str | None:
        """As the base class says."""
        return "can learn from normal images alone" if self.learns_from_anomalous else None

    @property
    def holds_out(self) -> bool:
        """All do: none can score an image as if it had not learned from it."""
        return True

    def images_trained_on(self, normal: int) -> float:
        """As the base class says."""
        if not self.trains:
            return 0.0
        return self.steps * self.batch_size if self.steps else float(normal * (self.epochs or 1))

    def training(self) -> dict[str, Any]:
        """All settings but the smoothing."""
        return self.model_dump(mode="json", exclude={"sigma"})

    def check_backbone(self, backbone: str) -> None:
        """Raises UsageError for a backbone that the model cannot be built on."""
        spec = self.spec
        own = not is_network(spec.backbone)
        if own and backbone != spec.backbone:
            raise UsageError(
                f"anomalib's {self.model} has a network of its own: leave backbone out"
            )
        if self.model == "Dinomaly" and not is_timm(backbone):
            raise UsageError(
                f"anomalib's Dinomaly needs a vision transformer of timm, such as {spec.backbone}"
                f" (got backbone '{backbone}')"
            )
        if not own:
            super().check_backbone(backbone)


def usual_backbone(settings: Any) -> str | None:
    """anomalib's own choice for the model of some settings, not checked yet; None where they name
    no model.
    """
    name = settings.get("model", USUAL) if isinstance(settings, dict) else USUAL
    name = settings.model if isinstance(settings, AnomalibSettings) else name
    spec = MODELS.get(_BY_LOWER.get(str(name).lower(), ""))
    return spec.backbone if spec else None


def packages() -> str | None:
    """Names and versions of the packages that compute its results; None without anomalib."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError:
        return None
